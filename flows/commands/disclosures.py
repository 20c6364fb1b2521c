"""What went out about whom: `kith disclosures for-child|for-agreement|for-recipient`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any

import typer

from flows.commands.rows import opened
from flows.settings import load_agencies_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from governance.disclosures import disclosed_tables, disclosures_of
from governance.load import Governance, governance_folder, load_governance
from record.dictionary import meaning_of_table
from record.reader import open_record
from record.tables import table_names
from record.trace import person_of
from standard.code_sets import code_set
from standard.errors import DeclarationError
from store.home import Home

app = typer.Typer(help="What went out about whom, to whom, when and why.", no_args_is_help=True)
_SHOWN = ("on", "release_id", "recipient", "purpose", "agreement", "table_name", "persons", "columns")


@dataclass(frozen=True)
class _Names:
    """What parties and agreements are called; where nothing is agreed (any more) their ids."""

    governance: Governance | None

    def recipient(self, party: str) -> str:
        known = self.governance.parties.parties.get(party) if self.governance else None
        return known.name if known else party

    def agreement(self, agreement: str) -> str:
        known = self.governance.filed.get(agreement) if self.governance else None
        return f"{agreement} ({known.agreement.title})" if known else agreement


@app.command("for-child")
def for_child(
    child: Annotated[str, typer.Argument(metavar="PERSON", help="A person id, or a mention: agency/table/key.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Tell everything that went out about a child, as a letter to the family: what, to whom, when and why.

    Ids that were merged or split since are followed.

    \b
    Example: kith disclosures for-child hillside_schools/students/004211
    Example: kith disclosures for-child 6QK3V0ZJ1ZP6B8H2MN5T7W9XYA --json
    """
    with opened(home) as at:
        person = person_of(open_record(at.home), child) if "/" in child else child
        rows = disclosures_of(at.home, at.ledger, [person]).to_pylist()
        names = _Names(_agreed(at.home))
    answer(rows, text=_letter(rows, names), as_json=as_json)


def _agreed(home: Home) -> Governance | None:
    """What is agreed; what went out is told even where that can no longer be read."""
    try:
        return load_governance(governance_folder(home), load_agencies_of(home, load_settings(home)))
    except DeclarationError:
        return None


def _letter(rows: Iterable[Mapping[str, Any]], names: _Names) -> str:
    told = [list(lines) for _, lines in groupby(rows, key=lambda row: row["release_id"])]
    if not told:
        return "Nothing from your child's records was given to anybody."
    parts = [f"From your child's records the following was given out, {len(told)} time{'s' if len(told) > 1 else ''}.",
             *(_paragraph(lines, names) for lines in told),
             "You may ask the exchange what these records say, and to have put right what is wrong."]  # fmt: skip
    return "\n\n".join(parts)


def _paragraph(lines: list[Mapping[str, Any]], names: _Names) -> str:
    first = lines[0]
    told = [f"On {first['on']:%d %B %Y}, to {names.recipient(first['recipient'])}",
            f"  why    {code_set('purpose').get(first['purpose'], first['purpose'])}",
            f"  under  {names.agreement(first['agreement'])}; policy {first['policy']}"]  # fmt: skip
    if first["notice"]:
        told.append(f"  notice {first['notice']}")
    told += ["  what", *(f"    {line['table_name']}: {_meaning(line)}" for line in lines)]
    return "\n".join([*told, f"  (release {first['release_id']})"])


def _meaning(line: Mapping[str, Any]) -> str:
    """What a table tells in words, with its columns."""
    name, columns = line["table_name"], line["columns"].split(" ")
    plain = ", ".join(column.replace("_", " ") for column in columns)
    return f"{meaning_of_table(name).rstrip('.')} ({plain})" if name in table_names() else plain


@app.command("for-agreement")
def for_agreement(
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its id.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List what went out under an agreement: every release, table by table, with the number of persons.

    \b
    Example: kith disclosures for-agreement DUL-2026-001
    """
    with opened(home) as at:
        rows = disclosed_tables(at.home, agreement=agreement).to_pylist()
    answer(rows, text=table(rows, _SHOWN, empty=f"nothing went out under {agreement}"), as_json=as_json)


@app.command("for-recipient")
def for_recipient(
    recipient: Annotated[str, typer.Argument(metavar="PARTY", help="Id of the party in parties.yaml.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List what went out to a recipient: every release, table by table, with the number of persons.

    \b
    Example: kith disclosures for-recipient valley_university
    """
    with opened(home) as at:
        rows = disclosed_tables(at.home, recipient=recipient).to_pylist()
    answer(rows, text=table(rows, _SHOWN, empty=f"nothing went out to {recipient}"), as_json=as_json)
