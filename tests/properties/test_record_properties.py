"""What always holds of a published record, whatever the cases, orders and the order of rows are."""

from __future__ import annotations

import random
import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from record_rows import Row, add_order, inputs_of, new_home

from record.publish import publish
from record.reader import Record, open_record
from record.snapshot import Snapshot

PARTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=12, unique=True)
UNSHRUNK = [Phase.explicit, Phase.reuse, Phase.generate]  # publishing takes too long to try hundreds of smaller ones
SEALED = st.sets(st.integers(0, 4))


def county_of(parts: list[tuple[int, int]]) -> dict[str, list[Row]]:
    """Parties 0..6 (the last in no case) and what stands below cases 0..4."""
    case, party = "court/case_hdr/C{}".format, "court/party/P{}".format
    return {
        "person": [{"person_ref": party(p)} for p in range(7)],
        "person_name": [{"person_ref": party(p), "given": f"Given{p}"} for p in range(7)],
        "case": [{"case_ref": case(c)} for c in range(5)],
        "case_participant": [{"case_ref": case(c), "person_ref": party(p)} for c, p in parts],
        "charge": [{"case_ref": case(c), "person_ref": party(p), "charge_ref": f"court/charge/{c}-{p}"}
                   for c, p in parts],
        "court_event": [{"case_ref": case(c), "scheduled_on": date(2026, 1, 1 + c)} for c in range(5)],
    }  # fmt: skip


def published(
    root: Path, rows: dict[str, list[Row]], sealed: set[int], *, shuffled_by: int | None = None
) -> tuple[Snapshot, Record]:
    home, ledger = new_home(root)
    for number in sorted(sealed):
        add_order(ledger, f"court/case_hdr/C{number}")
    persons = {row["person_ref"]: f"ID{n % 3}" for n, row in enumerate(rows["person"])}
    inputs = inputs_of(root / "in", rows, persons)
    if shuffled_by is not None:
        shuffle([*inputs.entities.values(), inputs.persons], random.Random(shuffled_by))
    snapshot = publish(home, ledger, inputs, run_id="run-1", fence=1)
    ledger.close()
    return snapshot, open_record(home)


def shuffle(paths: list[Path], chance: random.Random) -> None:
    for path in paths:
        table = pq.read_table(path)
        order = pa.array(chance.sample(range(table.num_rows), table.num_rows), type=pa.int64())
        pq.write_table(table.take(order), path)


@settings(max_examples=8, deadline=None, phases=UNSHRUNK)
@given(parts=PARTS, sealed=SEALED)
def test_a_party_is_seen_when_an_open_case_knows_it_or_none_does_and_none_was_purged(
    parts: list[tuple[int, int]], sealed: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        snapshot, record = published(Path(folder), county_of(parts), sealed)
        seen = set(record.table("person_source").to_pandas()["source_key"])
        cases_of = {p: {c for c, q in parts if q == p} for p in range(7)}
        purged = sealed - {c for c, _ in parts}
        assert seen == {f"P{p}" for p in range(7) if cases_of[p] - sealed or not (cases_of[p] or purged)}
        text = "".join(str(pq.read_table(path).to_pylist()) for path in snapshot.folder.glob("*.parquet"))
        assert [c for c in sealed if f"case_hdr/C{c}" in text] == []
        assert [p for p in range(7) if f"P{p}" not in seen and f"Given{p}" in text] == []
        tables, withheld = record.manifest["tables"], record.manifest["withheld"]
        for name in ("case", "case_participant", "charge", "person_name", "court_event"):
            in_force = tables[name]["rows"] + sum(withheld.get(name, {}).values())
            assert in_force == record.manifest["in_force"][name] == len(county_of(parts)[name])


@settings(max_examples=4, deadline=None, phases=UNSHRUNK)
@given(parts=PARTS, sealed=SEALED, seed=st.integers(0, 2**16))
def test_the_order_of_rows_in_the_inputs_does_not_matter(
    parts: list[tuple[int, int]], sealed: set[int], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, _ = published(Path(one), county_of(parts), sealed)
        second, _ = published(Path(two), county_of(parts), sealed, shuffled_by=seed)
        assert first.snapshot_id == second.snapshot_id
