"""Say of a file, before it is sent, what its receipt would say; nothing of it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from connectors.archives import PackageRefused
from flows.send_receipts import overdue_feeds
from flows.settings import REPOSITORY_AGENCIES, agency_folder, load_agency_of, load_settings, open_home_ledger
from flows.try_sample import checked_sample
from mappings.declarations import Feed
from mappings.load import Agency, load_agency
from receipts.owed import deliveries_before, told_of_first
from receipts.receipt import Before, Delivery, Outcome, Row, describe
from standard.errors import DeclarationError
from store.extracts import Checked, FileFinding, Holds, Severity, Status
from store.home import Home, literal, peek
from store.landing import copied_file
from store.ledger import Ledger, code_pending, open_ledger

_AFTER_ALL = 1 << 60


def check_file(home: Home | None, file: Path, name: str, *, now: datetime) -> Row:
    """What a receipt would say of a file, had it arrived now.

    Args:
        home: The home, whose states and deliveries before count; None: the declarations alone.
        file: The file as it is to be sent.
        name: AGENCY/FEED; AGENCY may be the path of an agency's folder of declarations.
        now: The moment of the check.

    Raises:
        ExtractError: The file is not there, or cannot be mapped at all.
        DeclarationError: There is no such agency or feed, or its declarations are wrong.
    """
    at, _, feed_name = name.rpartition("/")
    with _standing(home, at) as (where, ledger, agency):
        if feed_name not in agency.feeds:
            raise DeclarationError(
                f"{at or 'the agency'} has no feed {feed_name!r}", where=str(agency.folder),
                mend=f"name AGENCY/FEED, the feed one of: {', '.join(agency.feeds)}",
            )  # fmt: skip
        return _checked(where, ledger, agency, agency.feeds[feed_name], file, now)


@contextmanager
def _standing(home: Home | None, at: str) -> Iterator[tuple[Home, Ledger, Agency]]:
    """The home, its ledger and the agency; where there is no home, an empty one that is gone at the end."""
    declared = Path(at)
    of_path = (declared / "agency.yaml").is_file()
    if home is not None:
        settings = load_settings(home)
        folder = declared.resolve() if of_path else agency_folder(at, home)
        agency, ledger = load_agency_of(folder, home, settings), open_home_ledger(home, settings)
        try:
            yield home, ledger, agency
        finally:
            ledger.close()
        return
    with TemporaryDirectory(prefix="kith-check-") as folder_name:
        empty = Home(Path(folder_name)).create()
        agency = load_agency(declared.resolve() if of_path else _of_the_repository(at))
        ledger = open_ledger(empty.ledger_file)
        try:
            yield empty, ledger, agency
        finally:
            ledger.close()


def _of_the_repository(name: str) -> Path:
    folder = REPOSITORY_AGENCIES / Path(name).name
    if name and (folder / "agency.yaml").is_file():
        return folder
    raise DeclarationError(
        f"the agency {name!r} is not declared here",
        where=f"{name or '(no agency)'}, and this folder is no home",
        mend="name the folder of its declarations (--feed path/to/AGENCY/FEED), or the exchange by --home",
    )


def _checked(home: Home, ledger: Ledger, agency: Agency, feed: Feed, file: Path, now: datetime) -> Row:
    overdue = [
        each for each in overdue_feeds(ledger, agency, now=now) if each["feed"] != feed.feed or "missing" in each
    ]
    with ledger.reading() as connection:
        before = deliveries_before(connection, agency.agency, feed.feed, seq=_AFTER_ALL)
    try:
        with checked_sample(home, ledger, agency, feed, file, now=now) as checked:
            first = _came_before(ledger, agency, feed, checked)
            outcome = Outcome(str(Status.DUPLICATE), duplicate_of=first) if first else _outcome(ledger, checked)
            return _described(checked, outcome, feed, file, now, before, overdue)
    except PackageRefused as error:
        finding = FileFinding(error.code, Severity.ERROR, error.what)
        refused = Outcome("refused", error.code, of_the_file=[finding])
        sent = Delivery(agency.agency, feed.feed, file.name, file.stat().st_size, _sha256(file), now)
        return describe(sent, refused, feed, overdue=overdue)


def _described(
    checked: Checked, outcome: Outcome, feed: Feed, file: Path, now: datetime, before: list[Before], overdue: list[Row]
) -> Row:
    seen = checked.batch.extract
    sent = Delivery(
        seen.agency, feed.feed, file.name, file.stat().st_size, _sha256(file), now, as_of=seen.as_of,
        holds=str(feed.holds), content_sha256=seen.sha256 if feed.arrives.packed else None,
    )  # fmt: skip
    return describe(sent, outcome, feed, before=before, overdue=overdue)


def _outcome(ledger: Ledger, checked: Checked) -> Outcome:
    status, reason = checked.status
    return Outcome(
        status=str(Status.LOADED if status is Status.CHECKED else status),
        reason=reason,
        received=checked.batch.received,
        declared=checked.batch.declared,
        counts={(str(disposition), why): rows for (disposition, why), rows in checked.counts.items()},
        of_the_file=checked.batch.findings,
        findings=checked.findings,
        new_codes=_new_codes(ledger, checked),
    )


def _new_codes(ledger: Ledger, checked: Checked) -> dict[str, int]:
    """Element -> codes of this file that no crosswalk knows and no delivery has brought before."""
    seen = checked.batch.extract
    known = sa.select(code_pending.c.element, code_pending.c.scope, code_pending.c.value).where(
        code_pending.c.agency == seen.agency, code_pending.c.feed == seen.feed
    )
    with ledger.reading() as connection:
        before = {(row.element, row.scope, row.value) for row in connection.execute(known)}
    pending = literal(checked.batch.folder / "pending.parquet")
    with peek() as con:
        found = set(con.execute(f"SELECT element, scope, value FROM read_parquet({pending}) WHERE rows > 0").fetchall())
    new = [element for element, _, _ in found - before]
    return {element: new.count(element) for element in set(new)}


def _came_before(ledger: Ledger, agency: Agency, feed: Feed, checked: Checked) -> Row | None:
    """The delivery that held the same content; a table is no file and may come back to what it was."""
    if feed.arrives.files is None:
        return None
    seen = checked.batch.extract
    went_back = seen.as_of if "{as_of:" in feed.arrives.files and feed.holds is Holds.FULL else None
    with ledger.reading() as connection:
        of = copied_file(
            connection, agency=agency.agency, feed=feed.feed, sha256=seen.sha256, went_back=went_back
        )  # fmt: skip
        return told_of_first(connection, of)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
