"""The house holds its own rules: imports go down only, one door to each large library, names clear of others'."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.failures import PACKAGES

ROOT = Path(__file__).resolve().parents[2]


def test_imports_go_down_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("library", "door"),
    [
        ("great_expectations", {"expectations/great_expectations_engine.py"}),
        ("splink", {"linkage/splink_model.py"}),
        ("paramiko", {"connectors/sftp.py", "connectors/sftp_login.py", "demo/servers.py"}),
    ],
)
def test_one_file_imports_each_large_library(library: str, door: set[str]) -> None:
    pattern = re.compile(rf"^\s*(?:import|from) {library}\b", re.MULTILINE)
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    users = {str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text(encoding="utf-8"))}
    assert users <= door


def test_no_distribution_claims_one_of_our_names() -> None:
    claimed = importlib.metadata.packages_distributions()
    assert {name: claimed.get(name) for name in PACKAGES if set(claimed.get(name, ["kith"])) != {"kith"}} == {}


def test_files_stay_short_enough_to_read() -> None:
    files = [path for package in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / package).rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}


def test_lock_files_carry_hashes_and_no_index_address() -> None:
    for lock in (ROOT / "deploy").glob("*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text and "--index" not in text and "--find-links" not in text
