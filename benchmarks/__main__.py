"""`make bench`: every benchmark in turn; what needs the reference material is left out where that is absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"

ALWAYS = ("mapping", "formats", "validation", "sftp", "orchestration", "receipt", "whole_way", "decisions", "release",
          "audit", "disclosures", "suppression")  # fmt: skip
WITH_REFERENCE = (
    ["benchmarks.linkage", str(SHARED / "linkage")],
    ["demo.reference_county", str(SHARED / "county")],
)


def main() -> int:
    """Runs all; the worst exit status."""
    commands = [[f"benchmarks.{name}"] for name in ALWAYS]
    if SHARED.is_dir():
        commands += WITH_REFERENCE
    worst = 0
    for command in commands:
        print(f"\n== python -m {' '.join(command)}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-W", "ignore", "-m", *command], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
