"""The container holds every package of the project."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_container_takes_in_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {
        line.split()[1] for line in (ROOT / "deploy" / "Containerfile").read_text().splitlines() if line[:4] == "COPY"
    }
    assert packages <= copied
