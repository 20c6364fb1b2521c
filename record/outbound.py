"""What an agency is told about its own persons since it was told last: ids, merges, splits, and what was put right."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import duckdb

from record.snapshot import Snapshot
from store.home import Home, connect, literal, quoted, sync, written_whole

Permit = Callable[[str, str], str]
"""(feed back, SQL of its rows) -> SQL of the rows that may leave: where agreements and consents take hold. It is asked
first for `own` ("table", "key", person_id): a key that may not be told of any more looks like a withdrawn one."""
Format = Literal["csv", "parquet"]

_OWN = "own.parquet"
_MANIFEST = "manifest.json"
_FORMULA = r"[=+\-@\t\r\n]"
_ORIGIN = ("agency_id", "feed", "source_key", "extract_id", "record", "line")

_PERSONS = """
    WITH now_ AS (SELECT "table" || '/' || source_key AS k, * FROM {own}),
    before AS (SELECT "table" || '/' || source_key AS k, * FROM {before}),
    pairs_now AS (SELECT a.k, b.k AS other FROM now_ a JOIN now_ b USING (person_id) WHERE a.k <> b.k),
    pairs_before AS (SELECT a.k, b.k AS other FROM before a JOIN before b USING (person_id) WHERE a.k <> b.k),
    gained AS (SELECT DISTINCT k FROM pairs_now ANTI JOIN pairs_before USING (k, other)),
    lost AS (SELECT DISTINCT p.k FROM (FROM pairs_before ANTI JOIN pairs_now USING (k, other)) p
        SEMI JOIN now_ ON now_.k = p.other),
    same AS (SELECT k, string_agg(other, ' ' ORDER BY other) AS same_person FROM pairs_now GROUP BY k),
    told AS (
        SELECT CASE WHEN b.k IS NULL THEN 'new' WHEN n.k IS NULL THEN 'withdrawn'
                WHEN gained.k IS NOT NULL THEN 'merged' WHEN lost.k IS NOT NULL THEN 'split'
                WHEN n.person_id <> b.person_id THEN 'person_id' END AS change,
            coalesce(n."table", b."table") AS "table", coalesce(n.source_key, b.source_key) AS "key",
            n.person_id, b.person_id AS person_id_before, same_person
        FROM now_ n FULL JOIN before b ON n.k = b.k
        LEFT JOIN gained ON gained.k = n.k LEFT JOIN lost ON lost.k = n.k LEFT JOIN same ON same.k = n.k)
    SELECT * FROM told WHERE change IS NOT NULL"""
"""One row for each own key of which something has changed: `change, table, key, person_id, person_id_before,
same_person` (the agency's other keys of the same person)."""


@dataclass(frozen=True)
class Feedback:
    """What was made for one agency from one snapshot; it lies in the home until the agency has the next one."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def files(self) -> list[Path]:
        """What is sent, the manifest last: whoever sees it sees all."""
        return [*(self.folder / each["name"] for each in self.manifest["files"]), self.folder / self.manifest["name"]]


def make_feedback(
    home: Home, snapshot: Snapshot, agency: str, *, format_: Format = "csv", permit: Permit | None = None, tag: str = ""
) -> Feedback:
    """Writes the feeds back to an agency from a snapshot, against what it was told last; again, it is what it was.

    Only the agency's own keys stand in them, and only those that the snapshot publishes: what is withheld looks like
    what was withdrawn.

    Args:
        home: The home; the files come to lie in `outbound/<agency>/<snapshot>/`.
        snapshot: The published state.
        agency: Whose keys.
        format_: csv (safe for spreadsheets) or parquet.
        permit: What may leave of each feed back; None: all of the above.
        tag: Tells what may leave from what might leave of the same snapshot at another time.
    """
    folder = home.outbound / agency / f"{snapshot.snapshot_id}{tag}"
    if (folder / _MANIFEST).is_file():
        return _read(folder)
    building = folder.with_name(f".building.{folder.name}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)
    _write(home, snapshot, agency, building, format_, permit or (lambda _, rows: rows), tag=tag)
    building.rename(folder)
    sync(folder.parent)
    return _read(folder)


def preview_feedback(
    home: Home, snapshot: Snapshot, agency: str, *, permit: Permit | None = None
) -> tuple[dict[str, Any], dict[str, int]]:
    """The manifest of what `make_feedback` would make, and the own keys by kind of change; nothing is kept."""
    with TemporaryDirectory(dir=home.root, prefix=".preview-") as folder:
        _write(home, snapshot, agency, Path(folder), "parquet", permit or (lambda _, rows: rows))
        made = _read(Path(folder))
        persons = next(each["name"] for each in made.manifest["files"] if each["feed"] == "persons")
        with connect() as con:
            rows = con.execute(
                f"SELECT change, count(*) FROM {literal(Path(folder) / persons)} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
    return made.manifest, dict(rows)


def last_told(home: Home, agency: str) -> str | None:
    """The snapshot from which the agency was told last, with the tag of what might leave of it."""
    path = home.outbound / agency / "TOLD"
    return path.read_text(encoding="ascii").strip() if path.is_file() else None


def note_told(home: Home, agency: str, told: Feedback) -> None:
    """Notes that an agency has what was made for it; what was made before is removed, for it holds keys of persons."""
    with written_whole(home.outbound / agency / "TOLD") as part:
        part.write_text(told.folder.name, encoding="ascii")
    for path in (home.outbound / agency).iterdir():
        if path.is_dir() and path != told.folder:
            shutil.rmtree(path)


def _read(folder: Path) -> Feedback:
    return Feedback(folder, json.loads((folder / _MANIFEST).read_text(encoding="utf-8")))


def _write(
    home: Home, snapshot: Snapshot, agency: str, building: Path, format_: Format, permit: Permit, *, tag: str = ""
) -> None:  # fmt: skip
    told = last_told(home, agency)
    before = home.outbound / agency / told if told else None
    with connect(temp=building / ".spill") as con:
        own, extracts = building / _OWN, _extracts(con, snapshot, agency)
        of_agency = f'SELECT "table", source_key AS "key", person_id FROM {_table(snapshot, "person_source")}'
        allowed = permit("own", f"{of_agency} WHERE agency = {literal(agency)}")
        _copy(con, f'SELECT "table", "key" AS source_key, person_id FROM ({allowed})', own, "parquet")
        then = literal(before / _OWN) if before else f"(SELECT * FROM {literal(own)} WHERE false)"
        seen = set(_read(before).manifest["extracts"]) if before else set()
        new = [each for each in extracts if each not in seen]
        feeds = {
            "persons": _PERSONS.format(own=literal(own), before=then),
            "corrections": _corrections(home, snapshot, agency, new),
        }
        stem = f"{agency}_{snapshot.snapshot_id}{tag}"
        files = [
            _feed(con, name, permit(name, rows), building / f"{stem}_{name}.{format_}", format_)
            for name, rows in feeds.items()
        ]
    shutil.rmtree(building / ".spill", ignore_errors=True)
    manifest = {
        "name": f"{stem}_manifest.json", "agency": agency, "snapshot_id": snapshot.snapshot_id, "since": told,
        "files": files, "extracts": extracts,
    }  # fmt: skip
    sent = {key: value for key, value in manifest.items() if key != "extracts"}
    for path, value in ((building / str(manifest["name"]), sent), (building / _MANIFEST, manifest)):
        with written_whole(path) as part:
            part.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _feed(con: duckdb.DuckDBPyConnection, name: str, rows: str, path: Path, format_: Format) -> dict[str, Any]:
    """Writes one feed back in a steady order; its line of the manifest."""
    columns = [column[0] for column in con.execute(f"DESCRIBE {rows}").fetchall()]
    shown = ", ".join(
        f"{formula_safe(quoted(column))} AS {quoted(column)}" if format_ == "csv" else quoted(column)
        for column in columns
    )
    _copy(con, f"SELECT {shown} FROM ({rows}) ORDER BY ALL", path, format_)
    count = con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0]
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return {"feed": name, "name": path.name, "rows": count, "size": path.stat().st_size, "sha256": sha256}


def formula_safe(column: str) -> str:
    """SQL of a cell that no spreadsheet takes for a formula: an apostrophe goes before what one begins with."""
    text = f"{column}::VARCHAR"
    return f"CASE WHEN regexp_matches({text}, '^''*{_FORMULA}') THEN '''' || {text} ELSE {text} END"


def formula_undone(column: str) -> str:
    """SQL of what stood in a cell before `formula_safe`."""
    return f"CASE WHEN regexp_matches({column}, '^''+{_FORMULA}') THEN substr({column}, 2) ELSE {column} END"


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: Path, format_: Format) -> None:
    options = "FORMAT parquet" if format_ == "parquet" else "FORMAT csv, HEADER true, FORCE_QUOTE *"
    with written_whole(path) as part:
        con.execute(f"COPY ({query}) TO {literal(part)} ({options})")


def _table(snapshot: Snapshot, name: str) -> str:
    return f"read_parquet({literal(snapshot.table(name))})"


def _origins(snapshot: Snapshot, agency: str) -> str | None:
    """SQL of the rows of the agency that are published: feed, source_key, extract_id, record, line."""
    tables = [name for name, told in snapshot.manifest["tables"].items() if set(_ORIGIN) <= set(told["columns"])]
    columns = ", ".join(_ORIGIN[1:])
    of_agency = f"agency_id = {literal(agency)} AND extract_id IS NOT NULL"
    parts = [f"SELECT {columns} FROM {_table(snapshot, name)} WHERE {of_agency}" for name in tables]
    return " UNION ".join(parts) or None


def _extracts(con: duckdb.DuckDBPyConnection, snapshot: Snapshot, agency: str) -> list[str]:
    """The extracts of the agency of which rows are published."""
    origins = _origins(snapshot, agency)
    if origins is None:
        return []
    rows = con.execute(f"SELECT DISTINCT extract_id FROM ({origins}) ORDER BY 1").fetchall()
    return [extract_id for (extract_id,) in rows]


def _corrections(home: Home, snapshot: Snapshot, agency: str, extracts: Iterable[str]) -> str:
    """SQL of what was put right in published rows of extracts that are new: `feed, key, line, element, repaired`."""
    found = [(each, home.batches / each / "findings.parquet") for each in extracts]
    parts = [
        f"SELECT {literal(each)} AS extract_id, _record AS record, element, code FROM read_parquet({literal(path)})"
        " WHERE starts_with(code, 'repaired_')"
        for each, path in found
        if path.is_file()
    ]
    origins = _origins(snapshot, agency)
    if not parts or origins is None:
        empty = ", ".join(f'NULL::VARCHAR AS "{name}"' for name in ("feed", "key", "line", "element", "repaired"))
        return f"SELECT {empty} WHERE false"
    return (
        'SELECT DISTINCT o.feed, o.source_key AS "key", o.line, f.element, f.code AS repaired'
        f" FROM ({' UNION ALL '.join(parts)}) f JOIN ({origins}) o USING (extract_id, record)"
    )
