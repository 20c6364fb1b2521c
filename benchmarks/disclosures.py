"""One child among ten million disclosures: how long the register takes to say what went out, to whom, when and why."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from random import Random
from statistics import median

from governance.disclosures import DisclosureHead, disclosures_of, record_disclosures
from store.home import Home, connect
from store.ledger import open_ledger, person_event

TABLES = (("enrollment", "school_id grade entry_date"), ("attendance", "status school_id"))


def a_register(home: Home, *, releases: int, persons: int) -> None:
    """Releases of two tables each, in which persons of a county with twice as many stand."""
    with connect(memory_limit="2GB") as con:
        for number in range(releases):
            head = DisclosureHead(f"study-{number:04}", f"recipient_{number % 7}", "research", f"DUL-{number % 7}",
                                  "study", "s1", date(2020, 1, 1) + timedelta(number), ("FERPA-99.33",))  # fmt: skip
            who = f"SELECT upper(md5('p' || (i * 2 + {number} % 2))[:26]) AS person_id FROM range({persons}) t(i)"
            record_disclosures(home, head, con, [(table, columns.split(), who) for table, columns in TABLES])


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures; 1 where one child takes a second or more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disclosures", description=__doc__)
    parser.add_argument("--releases", type=int, default=100)
    parser.add_argument("--persons", type=int, default=50_000)
    parser.add_argument("--children", type=int, default=21)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kith-disclosures-") as folder, connect() as con:
        home = Home(Path(folder)).create()
        ledger = open_ledger(home.ledger_file)
        began = time.perf_counter()
        a_register(home, releases=given.releases, persons=given.persons)
        size = sum(path.stat().st_size for path in home.disclosures.iterdir()) / 2**20
        total = given.releases * given.persons * len(TABLES)
        print(f"{total:,} disclosures of {given.releases} releases written in {time.perf_counter() - began:.0f} s, "
              f"{size:.0f} MiB")  # fmt: skip
        seconds, random = [], Random(1)
        for _ in range(given.children):
            child = con.execute(f"SELECT upper(md5('p{random.randrange(2 * given.persons)}')[:26])").fetchall()[0][0]
            with ledger.writing() as connection:
                row = {"person_id": f"{child[:-1]}X", "kind": "merged_into", "other_id": child, "snapshot_id": "s1"}
                connection.execute(person_event.insert().values(**row, at="2021-01-01T00:00:00", cause="benchmark"))
            began = time.perf_counter()
            found = disclosures_of(home, ledger, [f"{child[:-1]}X"]).num_rows
            seconds.append(time.perf_counter() - began)
            if found != given.releases:
                print(f"a child has {found} disclosures instead of {given.releases}")
                return 1
        ledger.close()
    print(f"one child of {2 * given.persons:,}, asked for by an id that was merged: median {median(seconds):.2f} s, "
          f"at most {max(seconds):.2f} s")  # fmt: skip
    return 1 if median(seconds) >= 1 else 0


if __name__ == "__main__":
    sys.exit(main())
