"""Map and check a sample of a feed without keeping anything: where each of its rows would go."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from connectors.packages import open_package
from connectors.sources import FilesSource, Secrets
from connectors.wanted import FilesWanted
from expectations.check_batch import check_batch
from expectations.quarantine import mend_of
from expectations.retry import states_of
from flows.fetching import wanted_of
from mappings.declarations import Feed
from mappings.load import Agency
from mappings.map_extract import map_extract
from standard.errors import ExtractError
from store.extracts import Batch, Checked, Extract, Status
from store.home import Home, connect, literal
from store.landing import Landing
from store.ledger import Ledger

Row = dict[str, Any]
_UNTOUCHED = 10**9
"""A number of arrival after all others: nothing that came is newer than the sample."""


@dataclass(frozen=True)
class Tried:
    """What would become of a sample."""

    received: int
    held: str | None
    """Why the whole file would be held, if it would."""
    dispositions: list[Row]
    """disposition, reason, rows, mend."""
    findings: list[Row]
    """element, code, severity, rows, first_line, mend."""
    of_the_file: list[Row]
    """code, severity, detail."""
    never_given: list[str]
    """Elements that are blank in every record that could be read."""
    first_accepted: Row | None
    """The first accepted row in common terms: a person's values, for a terminal only."""


def try_sample(home: Home, ledger: Ledger, agency: Agency, feed: Feed, sample: Path, *, now: datetime) -> Tried:
    """Maps and checks a sample as if it had arrived now; references are asked of what is in force.

    Args:
        home: The home; what is written meanwhile lies below it and is removed.
        ledger: Its control plane; read only.
        agency: Whose feed it is.
        feed: The feed.
        sample: A file as the agency sends it; of a table, its rows as CSV with a header.
        now: The day of the sample where its name tells none.

    Raises:
        ExtractError: The sample is not there, or cannot be mapped.
    """
    with checked_sample(home, ledger, agency, feed, sample, now=now) as checked, connect() as con:
        return _told(con, feed, checked)


@contextmanager
def checked_sample(
    home: Home, ledger: Ledger, agency: Agency, feed: Feed, sample: Path, *, now: datetime
) -> Iterator[Checked]:
    """Maps and checks a sample; its files are there until the block ends. Arguments and errors as of `try_sample`.

    Raises:
        PackageRefused: It comes packed or encrypted, and cannot be opened.
    """
    if not sample.is_file():
        raise ExtractError("there is no such file", where=str(sample), mend="name a sample file of this feed")
    with TemporaryDirectory(dir=home.root, prefix=".try-") as folder:
        extract = _as_extract(home, agency, feed, sample, Path(folder), now)
        # The manifest is not what is tried.
        alone = feed.model_copy(update={"manifest": None})
        batch = map_extract(extract, agency, alone, into=Path(folder) / "batch")
        yield check_batch(batch, feed, states=states_of(home, ledger), ledger=ledger)


def _as_extract(home: Home, agency: Agency, feed: Feed, sample: Path, folder: Path, now: datetime) -> Extract:
    landed = folder / "landed"
    landed.touch(mode=0o600)
    wanted = wanted_of(feed)
    if feed.format.kind == "table":
        _table_from_csv(sample, landed)
    elif isinstance(wanted, FilesWanted) and wanted.packed:
        source = agency.sources[feed.source].declared
        keyring = Secrets(home.keys).keyring(source.pgp) if isinstance(source, FilesSource) else None
        open_package(sample, landed, wanted, keyring=keyring, landing=Landing(folder))
    else:
        shutil.copyfile(sample, landed)
    with landed.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return Extract(
        extract_id=f"try-{sha256[:16]}", agency=agency.agency, feed=feed.feed, name=sample.name, sha256=sha256,
        size=landed.stat().st_size, received_at=now, as_of=_as_of(feed, sample.name, now.date()), seq=_UNTOUCHED,
        holds=feed.holds, status=Status.LANDED, path=landed,
    )  # fmt: skip


def _as_of(feed: Feed, name: str, today: date) -> date:
    told = FilesWanted(feed.arrives.files).as_of(name, read_on=today) if feed.arrives.files else None
    return told or today


def _table_from_csv(sample: Path, into: Path) -> None:
    with connect() as con:
        try:
            con.execute(
                f"COPY (SELECT *, false AS _present_only FROM read_csv({literal(sample)}, all_varchar = true,"
                f" header = true)) TO {literal(into)} (FORMAT parquet)"
            )
        except duckdb.Error as error:
            raise ExtractError(
                f"the sample of a table cannot be read ({type(error).__name__})",
                where=str(sample),
                mend="give some rows of the table as CSV with a header",
            ) from None


def _never_given(con: duckdb.DuckDBPyConnection, batch: Batch, feed: Feed) -> list[str]:
    """The elements of which every mapped row says that they were blank."""
    plain = {name: element for name, element in feed.elements.items() if element.sql is None}
    blank = [literal(f" {name}:{element.blank} ") for name, element in plain.items()]
    counts = "".join(f", count(*) FILTER (contains(concat(' ', _missing, ' '), {word}))" for word in blank)
    rows, *blanks = con.execute(f"SELECT count(*){counts} FROM {literal(batch.mapped)}").fetchall()[0]
    return [name for name, number in zip(plain, blanks, strict=True) if rows and number == rows]


def _told(con: duckdb.DuckDBPyConnection, feed: Feed, checked: Checked) -> Tried:
    batch = checked.batch
    rows, findings = literal(checked.rows), literal(checked.findings)
    went = _rows(con, f"SELECT disposition, reason, count(*) AS rows FROM {rows} GROUP BY ALL ORDER BY ALL")
    found = _rows(
        con,
        "SELECT element, rule, code, severity, count(*) AS rows, min(_line) AS first_line"
        f" FROM {findings} GROUP BY ALL ORDER BY ALL",
    )
    first = _rows(
        con,
        f"SELECT * FROM {literal(batch.mapped)} SEMI JOIN (SELECT _record FROM {rows} WHERE disposition = 'accepted')"
        " USING (_record) ORDER BY _record LIMIT 1",
    )
    return Tried(
        received=batch.received,
        held=checked.held,
        dispositions=[row | {"mend": mend_of(row["reason"])} for row in went],
        findings=[row | {"mend": mend_of(row["code"] or row["rule"])} for row in found],
        of_the_file=[{"code": f.code, "severity": str(f.severity), "detail": f.detail} for f in checked.batch.findings],
        never_given=_never_given(con, batch, feed),
        first_accepted=first[0] if first else None,
    )


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = con.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
