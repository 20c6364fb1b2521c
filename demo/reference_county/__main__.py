"""The command behind `make county COUNTY=DIR`: runs a county and exits with 1 where anything is off."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.reference_county.run import run_county
from demo.reference_county.servers import ServerMissing
from demo.reference_county.verdicts import told
from standard.errors import ExchangeError


def main(arguments: list[str] | None = None) -> int:
    """Runs the county named on the command line; 0 where all agrees with the truth, 1 where not."""
    parser = argparse.ArgumentParser(prog="python -m demo.reference_county", description=__doc__)
    parser.add_argument("county", type=Path, help="folder with deliveries/ and truth/")
    parser.add_argument("--home", type=Path, help="new folder for the exchange and the servers, kept afterwards")
    parser.add_argument("--days", type=int, help="how many delivery days to run (default: all)")
    given = parser.parse_args(arguments)
    try:
        with _folder(given.home) as folder:
            return _run(given.county, folder, given.days)
    except (ExchangeError, ServerMissing) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_status", 4)


def _run(county: Path, folder: Path, days: int | None) -> int:
    lines = []
    for line in run_county(county, folder, days=days, progress=lambda text: print(text, file=sys.stderr)):
        lines.append(line)
        print(told([line]), flush=True)
    off = [line for line in lines if not line.ok]
    print(f"\n{len(lines)} lines compared, {len(off)} off")
    print(told(off))
    return 1 if off or not lines else 0


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="kith-county-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
