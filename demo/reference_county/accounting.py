"""The accounting of the deliveries against the truth: every file and table line by line, then row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from demo.reference_county.observed import Arrived, Observed
from demo.reference_county.truth import RowIssue, Sent
from demo.reference_county.verdicts import Line, compared, judged

STATUS = {
    "load": ("loaded", None),
    "load_late": ("loaded_late", None),
    "duplicate_file": ("duplicate", None),
    "hold_truncated": ("held", "truncated"),
    "hold_wrong_sender": ("held", "wrong_sender"),
    "older_than_current": ("superseded", None),
}
"""The truth's word for what becomes of a file -> our status and its reason."""

GOES_TO = {
    "reject": ("quarantined",),
    "quarantine": ("quarantined",),
    "quarantine_or_repair": ("quarantined", "accepted"),
    "duplicate": ("duplicate",),
    "out_of_scope": ("withheld",),
    "suppress": ("withheld",),
    "accept_flagged": ("accepted",),
}
"""The truth's word for what becomes of a row -> our dispositions."""


@dataclass(frozen=True)
class Found:
    """What became of the rows an agency sent in a file, or changed in a table since the last reading."""

    status: str
    reason: str | None
    rows: int
    counts: Mapping[str, int]
    flagged: int
    """Accepted rows with a finding; the truth names fewer, as it leaves ordinary noise out."""


def account_lines(seen: Observed) -> Iterator[Line]:
    """One line a file or table of the delivery, and one for each file that the truth does not know."""
    expected = [sent for sent in seen.truth.sent if sent.delivery == seen.delivery]
    for sent in expected:
        yield _account_line(seen, sent)
    names = {(sent.agency, sent.file) for sent in expected}
    for extract in seen.arrived:
        if (extract.agency, extract.name) not in names:
            yield judged("accounting", seen.delivery, f"{extract.agency} {extract.name}", "not sent", ["arrived"])


def _account_line(seen: Observed, sent: Sent) -> Line:
    subject = f"{sent.agency} {sent.file}"
    extracts = seen.of(sent.agency, sent.file)
    if len(extracts) != 1:
        return compared("accounting", sent.delivery, subject, "1 arrival", f"{len(extracts)} arrivals")
    found = _found(seen, extracts[0])
    expected = f"{sent.status} sent {sent.rows_sent}{_expected_counts(sent)}"
    actual = f"{found.status}{f' ({found.reason})' if found.reason else ''} sent {found.rows}{_told(found)}"
    return Line("accounting", sent.delivery, subject, expected, actual, agrees(sent, found))


def _expected_counts(sent: Sent) -> str:
    may = f"+0..{sent.may_be_quarantined}" if sent.may_be_quarantined else ""
    loaded = f"{sent.loaded.start}" + (f"..{sent.loaded[-1]}" if len(sent.loaded) > 1 else "")
    return (
        f" accepted {loaded} quarantined {sent.quarantined}{may} duplicate {sent.duplicate}"
        f" withheld {sent.withheld} flagged at least {sent.flagged}"
    )


def _told(found: Found) -> str:
    words = ("accepted", "quarantined", "duplicate", "withheld")
    return "".join(f" {word} {found.counts[word]}" for word in words) + f" flagged {found.flagged}"


def agrees(sent: Sent, found: Found) -> bool:
    """Whether what was found is what the truth expects of a file or table."""
    if not _same_status(sent, found):
        return False
    if sent.status not in ("load", "load_late"):
        # The truth counts no row of a file that was not used; all we must show is that none was.
        return found.counts["accepted"] == 0
    return (
        found.rows == sent.rows_sent
        and found.counts["accepted"] in sent.loaded
        and sent.quarantined <= found.counts["quarantined"] <= sent.quarantined + sent.may_be_quarantined
        and found.counts["duplicate"] == sent.duplicate
        and found.counts["withheld"] == sent.withheld
        and found.flagged >= sent.flagged
        and sum(found.counts.values()) == found.rows
    )


def _same_status(sent: Sent, found: Found) -> bool:
    status, reason = STATUS[sent.status]
    if sent.rows_sent == 0 and found.rows == 0 and found.status == "duplicate":
        return True  # a table in which nothing changed is the same content again
    return found.status == status and (reason is None or found.reason == reason)


def _found(seen: Observed, extract: Arrived) -> Found:
    if not extract.has_rows:
        return Found(extract.status, extract.reason, 0, Counter(), 0)
    rows = _sent_rows(seen, extract)
    query = f"SELECT disposition, count(*) FROM {rows} GROUP BY 1"
    counts = Counter({str(word): int(str(number)) for word, number in seen.rows(query)})
    noted = f"_record IN (SELECT _record FROM {seen.findings(extract)})"
    flagged = seen.number(f"SELECT count(*) FROM {rows} WHERE disposition = 'accepted' AND {noted}")
    return Found(extract.status, extract.reason, sum(counts.values()), counts, flagged)


def _sent_rows(seen: Observed, extract: Arrived) -> str:
    """The rows of an extract that the agency sent: not what a table's overlap read again unchanged."""
    rows = f"SELECT _record, _key, disposition, reason FROM {seen.dispositions(extract)}"
    before = [e for e in seen.earlier if (e.agency, e.feed) == (extract.agency, extract.feed) and e.has_rows]
    if extract.name != extract.feed or not before:
        return f"({rows})"
    known = " UNION ALL ".join(f"SELECT _key, _hash, {e.seq} AS seq FROM {seen.mapped(e)}" for e in before)
    return f"""(
        SELECT r.* FROM ({rows}) r LEFT JOIN {seen.mapped(extract)} m USING (_record)
        ANTI JOIN (SELECT _key, arg_max(_hash, seq) AS _hash FROM ({known}) GROUP BY _key) k
            ON k._key = m._key AND k._hash = m._hash)"""


def row_lines(seen: Observed) -> Iterator[Line]:
    """One line a row of which the truth says where it must go."""
    for issue in seen.truth.row_issues:
        if issue.delivery == seen.delivery:
            subject = f"{issue.agency} {issue.file} {_place(issue)}"
            yield judged("row", issue.delivery, subject, issue.expected, _row_faults(seen, issue))


def _place(issue: RowIssue) -> str:
    return f"record {issue.record}" if issue.record else f"key {issue.key}"


def _row_faults(seen: Observed, issue: RowIssue) -> list[str]:
    extracts = [e for e in seen.of(issue.agency, issue.file) if e.has_rows]
    if not extracts:
        return ["the file was not checked"]
    found = _rows_at(seen, extracts[0], issue)
    if not found:
        return ["there is no such row"]
    return [fault for record, word in found for fault in _fault(seen, extracts[0], issue, record, word)]


def _rows_at(seen: Observed, extract: Arrived, issue: RowIssue) -> list[tuple[int, str]]:
    if issue.record:
        query, value = "_record = ?", str(issue.record)
    else:
        query, value = "list_contains(string_split(_key, '|'), ?)", issue.key
    rows = seen.rows(f"SELECT _record, disposition FROM {_sent_rows(seen, extract)} WHERE {query}", [value])
    return [(int(str(record)), str(word)) for record, word in rows]


def _fault(seen: Observed, extract: Arrived, issue: RowIssue, record: int, word: str) -> list[str]:
    if word not in GOES_TO[issue.expected]:
        return [f"is {word}"]
    must_be_noted = issue.expected in ("accept_flagged", "quarantine_or_repair")
    if must_be_noted and not seen.number(f"SELECT count(*) FROM {seen.findings(extract)} WHERE _record = {record}"):
        return [f"is {word} without a finding"]
    return []
