"""The persons of the record against the truth: precision and recall, overall and by pair of agencies."""

from __future__ import annotations

from collections.abc import Iterator

from demo.reference_county.observed import Observed
from demo.reference_county.verdicts import Line

LEAST_PRECISION = 0.995
"""What is linked by the exchange itself must be right at least this often."""


def person_lines(seen: Observed) -> Iterator[Line]:
    """Presence of every person key, then precision and recall of pairs of keys on the link that can be expected."""
    _make_mentions(seen)
    yield _presence(seen)
    _make_pairs(seen)
    totals = "SELECT 'all pairs', sum(wanted), sum(linked), sum(agreed) FROM pairs"
    yield from (_pair_line(seen, *row) for row in seen.rows(totals))
    for row in seen.rows("SELECT agencies, wanted, linked, agreed FROM pairs ORDER BY agencies"):
        yield _pair_line(seen, *row, required=False)


def _make_mentions(seen: Observed) -> None:
    seen.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE mentions AS
        SELECT t.agency, t.table_or_file, t.expected_link_id AS truth, s.person_id AS found,
            concat_ws('/', t.agency, t.table_or_file, t.source_person_key) AS ref
        FROM read_csv('{seen.truth.persons}', header = true, all_varchar = true) t
        LEFT JOIN record.person_source s
            ON (s.agency, s."table", s.source_key) = (t.agency, t.table_or_file, t.source_person_key)
        WHERE CAST(t.first_delivery AS INTEGER) <= {seen.delivery}
    """)


def _presence(seen: Observed) -> Line:
    """Every person in force and not withheld must stand in person_source under the truth's own key."""
    missing = seen.number("""
        SELECT count(*) FROM mentions m WHERE found IS NULL AND ref IN (
            SELECT person_ref FROM entity.person UNION SELECT same_as FROM entity.person)
    """)
    known, present = seen.rows("SELECT count(*), count(found) FROM mentions")[0]
    withheld = seen.number("SELECT count(*) FROM mentions WHERE found IS NULL") - missing
    told = f"{present} of {known} keys, {missing} withheld, {withheld} not in force"
    return Line("persons", seen.delivery, "keys in person_source", "all that may be shown", told, int(str(present)) > 0)


def _make_pairs(seen: Observed) -> None:
    """Counts by pair of agencies without making the pairs: n (n - 1) / 2 within each group of equal persons."""
    seen.con.execute("""
        CREATE OR REPLACE TEMP TABLE pairs AS
        WITH shown AS (SELECT * FROM mentions WHERE found IS NOT NULL),
        sizes AS (
            SELECT 'wanted' AS what, truth AS person, agency, count(*) AS n FROM shown GROUP BY ALL
            UNION ALL SELECT 'linked', found, agency, count(*) FROM shown GROUP BY ALL
            UNION ALL SELECT 'both', concat_ws(' ', truth, found), agency, count(*) FROM shown GROUP BY ALL),
        counted AS (
            SELECT a.what, a.agency || ' + ' || b.agency AS agencies,
                sum(CASE WHEN a.agency = b.agency THEN a.n * (a.n - 1) / 2 ELSE a.n * b.n END) AS pairs
            FROM sizes a JOIN sizes b ON a.what = b.what AND a.person = b.person AND a.agency <= b.agency GROUP BY ALL)
        SELECT agencies, coalesce(sum(pairs) FILTER (what = 'wanted'), 0)::BIGINT AS wanted,
            coalesce(sum(pairs) FILTER (what = 'linked'), 0)::BIGINT AS linked,
            coalesce(sum(pairs) FILTER (what = 'both'), 0)::BIGINT AS agreed
        FROM counted GROUP BY agencies
    """)


def _pair_line(
    seen: Observed, agencies: object, wanted: object, linked: object, both: object, *, required: bool = True
) -> Line:
    w, n, b = int(str(wanted)), int(str(linked)), int(str(both))
    precision, recall = (b / n if n else 1.0), (b / w if w else 1.0)
    told = f"precision {precision:.4f} recall {recall:.4f} ({w} true pairs, {n} linked, {b} of them true)"
    expected = f"precision at least {LEAST_PRECISION}" if required else "for information"
    ok = not required or (precision >= LEAST_PRECISION and n > 0)
    return Line("persons", seen.delivery, str(agencies), expected, told, ok)
