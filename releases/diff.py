"""What changed between two releases: every number that is another, by its causes, which sum to the difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from record.in_force import working_database
from releases.causes import altered_sql, attach_causes, changed_sql
from releases.index import Kept, index_folder, kept_release
from standard.errors import AccountError, DeclarationError
from store.home import Home, literal, quoted
from store.ledger import Ledger


@dataclass(frozen=True)
class Change:
    """A part of a number's difference that has one cause.

    Attributes:
        table: A table of the release.
        column: The column whose codes are counted; empty where it is the table's rows.
        code: The code.
        before: The number in the old release.
        after: The number in the new release.
        cause: One of `releases.causes.CAUSES`.
        plus: How much came by this cause.
        minus: How much went by it.
    """

    table: str
    column: str
    code: str
    before: int
    after: int
    cause: str
    plus: int
    minus: int


def diff_releases(home: Home, ledger: Ledger, old: str, new: str) -> list[Change]:
    """Every number of two releases by the same policy that has changed, or in which as much came as went, by cause.

    Numbers are the rows of every table and the counts of every code that the codebook counts, exact: they are the
    exchange's own and no recipient's.

    Args:
        home: The home.
        ledger: Its control plane.
        old: Id of a release.
        new: Id of a later one.

    Raises:
        PublishError: There was no such release.
        DeclarationError: The two were made by other policies, or by another text of the same.
        AccountError: The causes do not sum to the difference.
    """
    before, after = kept_release(home, old), kept_release(home, new)
    _require_comparable(before, after)
    with working_database(index_folder(home)) as con:
        attach_causes(con, before, after, ledger)
        parts = [sql for table in after.facts["chosen"] for sql in _parts(con, table, before, after)]
        con.execute(f"""CREATE TEMP TABLE change AS
            SELECT "table", "column", code, cause, coalesce(sum(n) FILTER (n > 0), 0)::BIGINT AS plus,
                coalesce(-sum(n) FILTER (n < 0), 0)::BIGINT AS minus
            FROM ({" UNION ALL ".join(parts)}) GROUP BY ALL""")
        for side, kept in (("old", before), ("new", after)):
            numbers = [sql for table in after.facts["chosen"] for sql in _numbers(table, kept)]
            con.execute(f"CREATE TEMP TABLE {side}_number AS {' UNION ALL '.join(numbers)}")
        _require_sums(con)
        rows = con.execute(_CHANGES).fetchall()
    return [Change(*row) for row in rows]


_CHANGES = """
    SELECT c."table", c."column", c.code, coalesce(o.n, 0), coalesce(n.n, 0), c.cause, c.plus, c.minus FROM change c
    LEFT JOIN old_number o USING ("table", "column", code) LEFT JOIN new_number n USING ("table", "column", code)
    ORDER BY ALL
"""


def _require_comparable(old: Kept, new: Kept) -> None:
    for what in ("recipient", "policy", "policy_sha256", "chosen"):
        if old.facts[what] != new.facts[what]:
            raise DeclarationError(
                f"the releases cannot be compared: {'the text of the policy' if '_' in what else what} is another",
                where=f"{old.release_id} and {new.release_id}", mend="compare two releases by the same policy",
            )  # fmt: skip


def _parts(con: duckdb.DuckDBPyConnection, table: str, old: Kept, new: Kept) -> Iterator[str]:
    """SQL of all that changed in a table's numbers: table, column, code, cause, n (how much, with its sign)."""
    counted = new.facts["counted"][table]
    here, changed = f'{literal(table)} AS "table"', quoted(f"changed_{table}")
    con.execute(f"CREATE TEMP TABLE {changed} AS {changed_sql(table, old, new, columns=counted)}")
    yield f"""SELECT {here}, '' AS "column", '' AS code, cause, sum(sign) AS n FROM {changed} GROUP BY cause, sign"""
    for column in counted:
        code, name = quoted(column), f'{literal(column)} AS "column"'
        yield f"""SELECT {here}, {name}, {code}, cause, sum(sign) FROM {changed}
            WHERE {code} IS NOT NULL GROUP BY {code}, cause, sign"""
        yield f"""SELECT {here}, {name}, code, cause, sum(n) FROM (
            SELECT cause, unnest([before, after]) AS code, unnest([-1, 1]) AS n
            FROM ({altered_sql(table, column, old, new)})) WHERE code IS NOT NULL GROUP BY code, cause, n"""


def _numbers(table: str, kept: Kept) -> Iterator[str]:
    """SQL of a table's numbers in a release: table, column, code, n."""
    here, rows = f'{literal(table)} AS "table"', f'(FROM {kept.rows(table)} WHERE "out")'
    yield f"""SELECT {here}, '' AS "column", '' AS code, count(*) AS n FROM {rows}"""
    for column in kept.facts["counted"][table]:
        yield f"""SELECT {here}, {literal(column)}, {quoted(column)}, count(*) FROM {rows}
            WHERE {quoted(column)} IS NOT NULL GROUP BY ALL"""


def _require_sums(con: duckdb.DuckDBPyConnection) -> None:
    """The causes of every number sum to its difference; counted anew from both releases."""
    wrong = con.execute("""
        WITH told AS (
            SELECT "table", "column", code, sum(plus - minus) AS n FROM change GROUP BY ALL)
        SELECT "table", "column" FROM old_number o FULL JOIN new_number n USING ("table", "column", code)
        FULL JOIN told t USING ("table", "column", code)
        WHERE coalesce(n.n, 0) - coalesce(o.n, 0) <> coalesce(t.n, 0) LIMIT 1
    """).fetchall()
    if wrong:
        raise AccountError(
            f"the causes do not sum to the difference of {'.'.join(filter(None, wrong[0]))}",
            where="the index of both releases", mend="the index of a release was changed: put release_index/ back",
        )  # fmt: skip
