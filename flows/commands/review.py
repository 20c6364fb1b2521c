"""Judge the doubtful pairs: `kith review next|list|show|decide|undo`."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.rows import OpenHome, opened
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from linkage.register import Judgement, Verdict
from standard.errors import JudgementError, PublishError
from store.audit_log import Event, Intent, intent

app = typer.Typer(
    help="Pairs that no rule may decide: look at them, say whether they are one person, take it back. "
    "A judgement holds from the next run on, over all later ones and over other models. One about persons of more than "
    "two agencies, or with protected records, needs a second person who says the same.",
    no_args_is_help=True,
)
MentionL = Annotated[str, typer.Argument(metavar="A", help="A mention: agency/table/key.")]
MentionR = Annotated[str, typer.Argument(metavar="B", help="Another mention.")]
ByOption = Annotated[
    str | None, typer.Option("--by", envvar="KITH_REVIEWER", help="Who judges; who is logged in where nothing is said.")
]
WhyOption = Annotated[str, typer.Option("--why", help="On what grounds; write no name, date or number of a person.")]
ValuesOption = Annotated[
    bool,
    typer.Option(
        "--with-values",
        help="Show names, birth dates, sex, addresses, telephones, relatives, student number and the last four digits "
        "of the SSN of both: on this terminal only, never in --json. Race is not shown.",
    ),
]


@dataclass(frozen=True)
class Reviewing:
    """An open home with the links of its record and all judgements."""

    at: OpenHome
    links: Path
    judgements: Sequence[Judgement]


@contextmanager
def reviewing(folder: HomeOption) -> Iterator[Reviewing]:
    """The home in a folder as a reviewer needs it.

    Raises:
        PublishError: Nothing is published yet.
    """
    from flows.publishing import links_of_the_record
    from linkage.register import read_judgements

    with opened(folder) as at:
        links = links_of_the_record(at.home)
        if links is None:
            raise PublishError("nothing is published yet", where=str(at.home.record), mend="publish with: kith run")
        yield Reviewing(at, links, read_judgements(at.ledger))


@app.command("next")
def next_pair(
    home: HomeOption = HERE, by: ByOption = None, with_values: ValuesOption = False, as_json: JsonOption = False
) -> None:
    """Show the pair to judge next: first what waits for you as the second person, then what settles most.

    \b
    Example: kith review next --with-values
    """
    from linkage.review import queue, waiting_for

    with reviewing(home) as now:
        waiting = waiting_for(now.judgements, _reviewer(by))
        found = queue(now.links, now.judgements, limit=1)
        if waiting:
            said = _said(waiting[0])
            _show_pair(now, waiting[0].pair, {"waits_for_you": said}, with_values=with_values, as_json=as_json)
        elif found:
            pair = (found[0].record_l, found[0].record_r)
            _show_pair(now, pair, {"open": asdict(found[0])}, with_values=with_values, as_json=as_json)
        else:
            answer({"pair": None}, text="nothing waits for a person", as_json=as_json)


@app.command("list")
def list_open(
    home: HomeOption = HERE,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    judgements: Annotated[
        bool, typer.Option("--judgements", help="List the judgements that were made, not the pairs that wait.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the pairs that wait for a person, what settles most first; with --judgements the judgements that were made
    and how each stands. No value of a person is shown.

    \b
    Example: kith review list --limit 50
    Example: kith review list --judgements --json
    """
    from linkage.review import queue

    with reviewing(home) as now:
        if judgements:
            rows = [_said(judgement) for judgement in now.judgements[-limit:]]
            told = ("judgement_id", "state", "verdict", "record_l", "record_r", "who", "at")
            shown = table(rows, told, empty="nothing was judged yet")
        else:
            rows = [asdict(pair) for pair in queue(now.links, now.judgements, limit=limit)]
            names = ("record_l", "record_r", "reason", "records", "pairs", "agencies")
            shown = table(rows, names, empty="nothing waits for a person")
    answer(rows, text=shown, as_json=as_json)


@app.command()
def show(
    record_l: MentionL, record_r: MentionR, home: HomeOption = HERE, with_values: ValuesOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show one pair: whom a judgement would concern, what each comparison adds, and what was said before.

    \b
    Example: kith review show hillside_schools/students/004211 valley_court/party/P1 --with-values
    """
    with reviewing(home) as now:
        _show_pair(now, (record_l, record_r), {}, with_values=with_values, as_json=as_json)


@app.command()
def decide(
    record_l: MentionL,
    record_r: MentionR,
    verdict: Annotated[Verdict, typer.Argument(metavar="VERDICT", help="same, different or unsure.")],
    why: WhyOption,
    home: HomeOption = HERE,
    by: ByOption = None,
    authority: Annotated[
        str | None, typer.Option(help="Who or what allows it; needed to join the identities of an adopted child.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would change, and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether two mentions are one person. It outranks every weight and rule and lasts until it is taken back.

    Exit status 10 where it cannot be taken: it contradicts others, was made already, or the second person is the first.

    \b
    Example: kith review decide hillside_schools/students/004211 valley_court/party/P1 same --why "birth records seen"
    Example: kith review decide A B different --why "twins" --preview
    """
    from linkage.register import judgements_in_force, record_judgement
    from linkage.review import concern, queue, require_authority

    with reviewing(home) as now:
        pair = (min(record_l, record_r), max(record_l, record_r))
        about = concern(now.links, pair)
        require_authority(about, verdict, authority)
        need, who = about.need, _reviewer(by)
        would = Judgement(0, *pair, verdict, who, "", why, authority, 1, None)
        effect = _effect(now, judgements_in_force([*now.judgements, would]), pair)
        if preview:
            said: dict[str, Any] = {"needs": need.persons, "needs_because": need.because}
        else:
            reason = next(
                (p.reason for p in queue(now.links, now.judgements) if {p.record_l, p.record_r} == set(pair)), None
            )
            with _logged(now, "judgement", who, str(verdict)) as going:
                made = record_judgement(
                    now.at.ledger, pair, verdict, who=who, why=why, authority=authority, need=need, reason=reason
                )
                going.object, going.decision = str(made.judgement_id), str(made.state)
            said = _said(made)
    lines = [_stands(said) if not preview else _needs(need.persons, need.because), _effect_text(effect)]
    answer({"judgement": said, "effect": effect}, text="\n".join(lines), as_json=as_json)


@app.command()
def undo(
    judgement_id: Annotated[
        int, typer.Argument(metavar="JUDGEMENT", help="Its number, as `list --judgements` shows it.")
    ],
    why: WhyOption,
    home: HomeOption = HERE,
    by: ByOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would change, and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a judgement back. It stays in the register; one that two persons made, two must take back.

    The next run gives the persons back the ids they had before.

    \b
    Example: kith review undo 17 --why "the wrong twin" --preview
    """
    from linkage.register import judgements_in_force, withdraw_judgement

    with reviewing(home) as now:
        found = {j.judgement_id: j for j in now.judgements}.get(judgement_id)
        if found is None:
            raise JudgementError(
                f"there is no judgement {judgement_id}", mend="see them with: kith review list --judgements"
            )
        others = [j for j in now.judgements if j is not found]
        effect = _effect(now, judgements_in_force(others), found.pair)
        if not preview:
            with _logged(now, "judgement.undo", _reviewer(by)) as going:
                found = withdraw_judgement(now.at.ledger, judgement_id, who=_reviewer(by), why=why)
                going.object, going.decision = str(judgement_id), str(found.state)
        said = _said(found)
    answer({"judgement": said, "effect": effect}, text=f"{_stands(said)}\n{_effect_text(effect)}", as_json=as_json)


def _logged(now: Reviewing, action: str, who: str, verdict: str = "") -> AbstractContextManager[Intent]:
    """The mentions themselves do not stand in the audit log: the judgement's number leads to them."""
    return intent(now.at.home, Event(action, "judgement", who, role="reviewer", reason=verdict))


def _reviewer(by: str | None) -> str:
    return by or getpass.getuser()


def _said(judgement: Judgement) -> dict[str, Any]:
    return asdict(judgement) | {"state": str(judgement.state)}


def _stands(said: Mapping[str, Any]) -> str:
    line = f"judgement {said['judgement_id']} ({said['verdict']}) is {said['state']}"
    waits = f": a second person must say the same ({said['needs_because']})" if said["state"] == "pending" else ""
    asked = (
        f"; {len(said['withdrawn_by'])} of {said['needs']} ask that it be taken back" if said["withdrawn_by"] else ""
    )
    return line + waits + (asked if said["state"] != "withdrawn" else "")


def _needs(persons: int, because: str | None) -> str:
    return "one person may say so" if persons == 1 else f"{persons} persons must say so: {because}"


def _effect(now: Reviewing, judgements: Any, pair: tuple[str, str]) -> dict[str, Any]:
    """What the next run would change for the persons of a pair, with the rows of the record they have a part in."""
    from flows.publishing import settings_of
    from linkage.preview import preview as preview_judgements
    from record import open_record
    from record.persons import rows_of_persons

    effect = preview_judgements(now.links, judgements, pair, most=settings_of(now.links).most_records)
    touched = {person for person in effect.before if effect.before[person] != effect.after.get(person)}
    touched |= {change.person_id for change in effect.changes} & set(effect.before)
    return asdict(effect) | {"rows": rows_of_persons(open_record(now.at.home), touched) if touched else {}}


def _effect_text(effect: Mapping[str, Any]) -> str:
    if not effect["changes"] and not effect["moved"]:
        return "no person changes by it"
    lines = [f"at the next run: {_persons(effect['before'])} become {_persons(effect['after'])}; "
             f"{effect['moved']:,} mentions change their person"]  # fmt: skip
    for change in effect["changes"]:
        lines.append(
            f"  {change['person_id']}  {change['kind'].replace('_', ' ')}  {change['other_id'] or ''}".rstrip()
        )
    rows = ", ".join(f"{name} {rows:,}" for name, rows in effect["rows"].items())
    lines += [f"rows of the record about them: {rows}"] if rows else []
    if effect["uncompared"]:
        lines.append(f"{effect['uncompared']} pairs between them were never compared; the run compares them first")
    return "\n".join(lines)


def _persons(counts: Mapping[str, int]) -> str:
    return f"{len(counts)} {'person' if len(counts) == 1 else 'persons'} of {sum(counts.values()):,} mentions"


def _show_pair(
    now: Reviewing, pair: tuple[str, str], known: Mapping[str, Any], *, with_values: bool, as_json: bool
) -> None:
    from flows.publishing import settings_of
    from linkage.explain import explain_pair
    from linkage.review import concern, shown_mentions

    about = concern(now.links, pair)
    told = explain_pair(now.links / "people.parquet", *pair, settings=settings_of(now.links))
    before = [_said(j) for j in now.judgements if set(j.pair) == set(pair)]
    value = {"record_l": pair[0], "record_r": pair[1], "concerns": asdict(about), "needs": asdict(about.need),
             "explained": asdict(told), "judgements": before, **known}  # fmt: skip
    weights = [
        {"comparison": c.comparison, "level": c.level, "weight": round(c.weight + c.rarity, 2)}
        for c in told.comparisons
    ]
    guard = [f"{what}: {why}" for what, why in (("veto", told.veto), ("doubt", told.doubt)) if why]
    lines = [
        f"{pair[0]}  and  {pair[1]}",
        *([_side_by_side(pair, shown_mentions(now.links, pair))] if with_values and not as_json else []),
        f"{len(about.persons)} persons of {about.records} mentions at {', '.join(about.agencies)}",
        _needs(about.need.persons, about.need.because),
        table(weights),
        f"weight {told.weight:.2f} (log2 odds)",
        *guard,
        *(_stands(said) for said in before),
        f"decide: kith review decide {pair[0]} {pair[1]} same|different|unsure --why ...",
    ]
    answer(value, text="\n".join(lines), as_json=as_json)


def _side_by_side(pair: Sequence[str], mentions: Mapping[str, Mapping[str, Any]]) -> str:
    """What is known of both, a line for each column that either fills."""
    names = list(dict.fromkeys(name for mention in mentions.values() for name in mention))
    rows = [{"": name, **{side: _words(mentions[side].get(name)) for side in pair}} for name in names]
    return table(rows, empty="nothing is known of either")


def _words(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_words(one) for one in value)
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values() if part)
    return "" if value is None else str(value)
