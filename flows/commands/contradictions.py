"""What agencies say of one person that cannot all be true: `kith contradictions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table


def contradictions(
    kind: Annotated[str | None, typer.Option("--kind", help="Tell every one of this kind, with its sources.")] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say what agencies hold against each other: dates of birth, sex, death, custody, foster care. Settles nothing.

    Without --kind only counts are told. No value is ever shown: what is said is numbered, with agency, table, key and
    day. `kith explain` on the two mentions named shows why they were linked; they may be two persons.

    \b
    Example: kith contradictions --home exchange
    Example: kith contradictions --kind birth_date --json
    """
    from record.contradictions import count_contradictions, find_contradictions
    from record.reader import open_record

    at = home_at(home)
    snapshot = open_record(at).snapshot
    if kind is None:
        rows = [
            {"kind": c.kind, "persons": c.persons, "perhaps two persons": c.hints, "what": c.declared.title}
            for c in count_contradictions(snapshot, temp=at.record)
        ]
        answer(rows, text=table(rows), as_json=as_json)
        return
    sources = find_contradictions(snapshot, [kind], temp=at.record).to_pylist()
    found = [_one(person, list(rows)) for person, rows in groupby(sources, key=lambda row: str(row["person_id"]))]
    answer(found, text="\n\n".join(map(_told, found)) or "nothing", as_json=as_json)


_OF_A_SOURCE = ("says", "agency", "table", "source_key", "as_of", "row_id")


def _one(person: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    explain = f"kith explain {first['explain_l']} {first['explain_r']}" if first["explain_l"] else None
    return {
        "kind": first["kind"], "person_id": person, "explain": explain,
        "sources": [{name: row[name] for name in _OF_A_SOURCE} for row in rows],
    }  # fmt: skip


def _told(one: Mapping[str, Any]) -> str:
    head = f"person {one['person_id']}"
    hint = [f"perhaps two persons: {one['explain']}"] if one["explain"] else []
    return "\n".join([head, table(one["sources"], _OF_A_SOURCE), *hint])
