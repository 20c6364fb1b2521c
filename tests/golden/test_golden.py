"""Each agency's sample in, its expected rows out: found by folder, so that a new agency needs no code.

`tests/golden/<agency>/<feed>/` holds one file under the name by which it arrives (for a table: its rows in
`sent.csv`), and beside it `mapped.csv`,
`unreadable.csv`, `findings.csv` and `<entity>.csv` for each entity the feed gives. The declarations are the project's
own, or those in `tests/golden/<agency>/declarations/<agency>`. REWRITE_GOLDEN=1 writes what comes out as expected, to
be read by a steward before it is committed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from pathlib import Path

import duckdb
import pytest

from connectors.wanted import FilesWanted
from mappings.entities import project_entities
from mappings.load import Agency, load_agency
from mappings.map_extract import map_extract
from store.extracts import Batch, Extract, Status

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "mappings" / "agencies"
READ_ON = dt.date(2026, 3, 23)
SAMPLES = sorted(path for path in HERE.glob("*/*/") if path.name != "declarations" and not path.name.startswith("_"))


def _agency(name: str) -> Agency:
    own = HERE / name / "declarations" / name
    return load_agency(own if own.is_dir() else PROJECT / name)


def _extract(agency: Agency, folder: Path, into: Path) -> Extract:
    feed = agency.feeds[folder.name]
    path, day = _table(folder, into) if feed.arrives.table else _file(folder, feed.arrives.files or "")
    content = path.read_bytes()
    return Extract(
        "GOLDEN", agency.agency, feed.feed, path.name, hashlib.sha256(content).hexdigest(), len(content),
        dt.datetime(2026, 3, 23), day, 1, feed.holds, Status.LANDED, path,
    )  # fmt: skip


def _file(folder: Path, pattern: str) -> tuple[Path, dt.date]:
    wanted = FilesWanted(pattern)
    days = {path: wanted.as_of(path.name, read_on=READ_ON) for path in sorted(folder.iterdir())}
    path, day = next(((path, day) for path, day in days.items() if day is not None), (folder, None))
    assert day is not None, f"{folder} has no file under a name by which the feed arrives"
    return path, day


def _table(folder: Path, into: Path) -> tuple[Path, dt.date]:
    """The rows of sent.csv as a table lands: text, an empty field being NULL."""
    path = into / "sent.parquet"
    rows = f"read_csv('{folder / 'sent.csv'}', header = true, all_varchar = true, quote = '\"')"
    duckdb.sql(f"COPY (SELECT *, false AS _present_only FROM {rows}) TO '{path}'")
    return path, READ_ON


def _outputs(agency: Agency, batch: Batch, into: Path) -> dict[str, str]:
    """What came out, as CSV by name of the file that holds what is expected."""
    feed = agency.feeds[batch.extract.feed]
    state = into / "state.parquet"
    duckdb.sql(
        f"COPY (SELECT *, 'GOLDEN' AS _extract, DATE '{batch.extract.as_of}' AS _since, NULL::VARCHAR AS _deleted"
        f" FROM '{batch.mapped}' WHERE _action = 'upsert' AND _key IS NOT NULL) TO '{state}'"
    )
    tables = project_entities({agency.agency: agency}, {(agency.agency, feed.feed): state}, into / "entities")
    outputs = {"mapped": _csv(f"SELECT * EXCLUDE (_hash) FROM '{batch.mapped}' ORDER BY _record", into)}
    outputs["unreadable"] = _csv(f"SELECT * FROM '{batch.unreadable}' ORDER BY _record", into)
    findings = [f"{f.code},{f.severity},{f.rows or ''}" for f in batch.findings]
    outputs["findings"] = "\n".join(["code,severity,rows", *findings, f"hold,{batch.hold or 'no'},", ""])
    for entity in feed.entities:
        columns = "* EXCLUDE (row_id, agency_id, feed, extract_id, as_of)"
        outputs[entity] = _csv(f"SELECT {columns} FROM '{tables[entity]}' ORDER BY record", into)
    return outputs


def _csv(query: str, into: Path) -> str:
    path = into / "shown.csv"
    duckdb.sql(f"COPY ({query}) TO '{path}' (HEADER, DELIMITER ',')")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_gives_the_expected_rows(folder: Path, tmp_path: Path) -> None:
    agency = _agency(folder.parent.name)
    batch = map_extract(_extract(agency, folder, tmp_path), agency, agency.feeds[folder.name], into=tmp_path / "batch")
    got = _outputs(agency, batch, tmp_path)
    if os.environ.get("REWRITE_GOLDEN") == "1":
        for name, text in got.items():
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        pytest.fail("the expected rows were written anew: read them, then run without REWRITE_GOLDEN")
    expected = {name: (folder / f"{name}.csv").read_text(encoding="utf-8") for name in got}
    assert got == expected
