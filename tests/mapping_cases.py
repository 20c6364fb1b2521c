"""What tests of the mapping share: an invented agency written to a folder, a file that arrives, and what came out."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mappings.compile import compile_feed, install_macros
from mappings.load import Agency, load_agency
from mappings.manifest import ManifestEntry
from mappings.map_extract import map_extract
from mappings.reading import schema_of
from store.extracts import Batch, Extract, Holds, Status
from store.home import connect

ROOT = Path(__file__).resolve().parents[1]
AS_OF = dt.date(2026, 3, 23)

AGENCY = """
agency: hill_schools
name: Hill Schools
sector: education
state: MA
sources: {drop: {folder: {path: /srv/drop}}}
feeds: [students]
"""

HEAD = """
feed: students
title: Students
source: drop
arrives: {files: "students_{as_of:%Y%m%d}*.csv"}
format: {kind: delimited}
holds: full
key: [id]
"""

ELEMENTS = """\
elements:
  id: {column: ID, identifier: {width: 4}, required: true}
  surname: {column: Name, name: {}}
  born: {column: Born, date: {formats: ["%m/%d/%Y"], not_after: as_of}}
"""


def write_agency(
    folder: Path, feeds: Mapping[str, str], *, crosswalks: Mapping[str, str] | None = None,
    layouts: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Writes the agency `hill_schools` with the YAML of its feeds and the CSV of its crosswalks and layouts."""
    agency = folder / "hill_schools"
    for name in ("crosswalks", "layouts"):
        (agency / name).mkdir(parents=True, exist_ok=True)
    listed = AGENCY.replace("[students]", f"[{', '.join(feeds)}]")
    (agency / "agency.yaml").write_text(listed, encoding="utf-8")
    for name, text in feeds.items():
        (agency / f"{name}.yaml").write_text(text, encoding="utf-8")
    for kind, files in (("crosswalks", crosswalks or {}), ("layouts", layouts or {})):
        for name, text in files.items():
            (agency / kind / f"{name}.csv").write_text(text, encoding="utf-8")
    return agency


def extract_of(path: Path, *, feed: str = "students", holds: Holds = Holds.FULL) -> Extract:
    """An arrival of a file."""
    content = path.read_bytes()
    return Extract(
        "X1", "hill_schools", feed, path.name, hashlib.sha256(content).hexdigest(), len(content),
        dt.datetime(2026, 3, 23, 6), AS_OF, 1, holds, Status.LANDED, path,
    )  # fmt: skip


@dataclass(frozen=True)
class Mapped:
    """What mapping a file gave."""

    batch: Batch
    rows: list[dict[str, Any]]
    unreadable: list[tuple[Any, ...]]

    @property
    def found(self) -> list[str]:
        """The codes of the findings about the file."""
        return [finding.code for finding in self.batch.findings]


def map_file(
    folder: Path, content: bytes | str, *, feed: str = HEAD + ELEMENTS, name: str = "students_20260323.csv",
    manifest: ManifestEntry | None = None, crosswalks: Mapping[str, str] | None = None,
    layouts: Mapping[str, str] | None = None, agency: Agency | None = None,
) -> Mapped:  # fmt: skip
    """Maps one file of the feed `students`, of an agency that is loaded already or written for it."""
    agency = agency or load_agency(write_agency(folder, {"students": feed}, crosswalks=crosswalks, layouts=layouts))
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return mapped_rows(
        map_extract(
            extract_of(path), agency, agency.feeds["students"], into=folder / "batch", manifest=manifest,
            memory_limit="200MB",
        )
    )  # fmt: skip


def map_table(folder: Path, table: pa.Table, *, feed: str) -> Mapped:
    """Maps the landed rows of a table of the feed `students`."""
    agency = load_agency(write_agency(folder, {"students": feed}))
    path = folder / "landed.parquet"
    pq.write_table(table, path)
    extract = extract_of(path, holds=Holds.CHANGES)
    return mapped_rows(map_extract(extract, agency, agency.feeds["students"], into=folder / "batch"))


def mapped_rows(batch: Batch) -> Mapped:
    """The rows and the unreadable records of a batch, in the order of the file."""
    with duckdb.connect() as connection:
        connection.execute(f"SELECT * FROM read_parquet('{batch.mapped}') ORDER BY _record")
        names = [column[0] for column in connection.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in connection.fetchall()]
        unreadable = connection.execute(f"SELECT * FROM read_parquet('{batch.unreadable}') ORDER BY _record").fetchall()
    return Mapped(batch, rows, unreadable)


def convert(agency: Agency, rows: Sequence[Mapping[str, str | None]]) -> list[dict[str, Any]]:
    """What the feed `students` makes of some rows as sent, without a file."""
    feed = agency.feeds["students"]
    arriving = pa.Table.from_pylist(
        [{"_record": number, **row} for number, row in enumerate(rows, start=1)], schema=schema_of(feed.columns)
    )
    with connect() as connection:
        install_macros(connection)
        connection.register("arriving", arriving)
        connection.execute(f"{compile_feed(feed, agency.crosswalks, as_of=AS_OF).select} ORDER BY _record")
        names = [column[0] for column in connection.description or []]
        return [dict(zip(names, row, strict=True)) for row in connection.fetchall()]


def table(text: str) -> list[list[str]]:
    """The cells of a table written with | between them; the first line (its header) and blank lines are left out."""
    lines = [line for line in text.strip("\n").splitlines() if line.strip()]
    return [[cell.strip() for cell in line.split("|")] for line in lines[1:]]
