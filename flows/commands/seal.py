"""Orders of a court: `kith seal add|approve|lift|status|acknowledge|prove|export|import`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.rows import opened
from flows.commands.run import how_it_went, run_plain
from flows.governed import OFF, day_of
from flows.sealed_releases import forget_released
from flows.settings import load_agencies_of, load_settings
from flows.terminal import HERE, Commands, HomeOption, JsonOption, answer, show_failures, table
from governance import retractions, sealing, sealing_export, sealing_proof
from governance.load import governance_folder, load_governance
from governance.parties import Parties
from mappings.load import Agency
from store.audit_entry import Event
from store.audit_log import append
from store.home import Home, written_whole
from store.ledger import Ledger
from store.runs import hold_home
from store.seal_index import read_index

app = typer.Typer(
    cls=Commands, help="Orders of a court to seal, expunge or restrict, and who was told of them.", no_args_is_help=True
)

OrderArgument = Annotated[str, typer.Argument(metavar="ORDER", help="Its id, as `status` shows it.")]
ByOption = Annotated[str, typer.Option("--by", help="Who answers for it: the id of an officer in parties.yaml.")]
LaterOption = Annotated[
    bool, typer.Option("--later", help="Leave it to the next run to take out what it covers and publish.")
]
_DAY = ["%Y-%m-%d"]


@dataclass(frozen=True)
class Court:
    """A home that is held, with all that an order needs."""

    home: Home
    ledger: Ledger
    agencies: dict[str, Agency]
    parties: Parties | None


@contextmanager
def _held(folder: Path) -> Iterator[Court]:
    with opened(folder) as at, hold_home(at.home):
        settings = load_settings(at.home)
        agencies = load_agencies_of(at.home, settings)
        agreed = None if settings.governance == OFF else load_governance(governance_folder(at.home), agencies)
        yield Court(at.home, at.ledger, agencies, None if agreed is None else agreed.parties)


@app.command()
def add(
    order_no: Annotated[str, typer.Option("--order-no", help="Number of the order.")],
    court: Annotated[str, typer.Option(help="The court that made it.")],
    kind: Annotated[sealing.Kind, typer.Option(help="What it asks for.")],
    match: Annotated[list[str], typer.Option(help="What it covers: agency/feed/key (may be given several times).")],
    effective: Annotated[datetime, typer.Option(formats=_DAY, help="From this day on.")],
    by: ByOption,
    verify_by: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Day on which the court asks for proof.")
    ] = None,
    later: LaterOption = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write down an order; it is in force once a second officer has approved it.

    A match is a row as the agency names it (agency/feed/key), or what rows name (agency/table/key): a person, a case.
    Only marks of it are kept. One that means nothing yet is watched for in all that comes, under other spellings, too.

    \b
    Example: kith seal add --order-no 24-JV-118 --court "Valley Juvenile Court" --kind seal
             --match county_court/case_hdr/C0001188 --effective 2026-11-21 --by r_ode
    """
    given = sealing.NewOrder(
        order_no, court, kind, tuple(match), effective.date(), verify_by.date() if verify_by else None
    )
    with _held(home) as at:
        added = sealing.add_order(at.home, at.ledger, at.agencies, given, by=by, parties=at.parties)
    lines = [f"order {added.order_id} is on record"]
    if added.idle:
        lines.append(
            f"{added.idle} of {len(given.match)} matches mean no row in force: check the keys; they are watched for"
        )
    if not added.in_force:
        lines.append(f"it waits for a second officer: kith seal approve {added.order_id} --by OFFICER --agree")
    value = {"order": added.order_id, "in_force": added.in_force, "matches_nothing": added.idle}
    _answer_applied(home, value, lines, now=added.in_force and not later, as_json=as_json)


@app.command()
def approve(
    order: OrderArgument,
    by: ByOption,
    agree: Annotated[bool, typer.Option("--agree/--refuse", help="The second officer's word.")],
    later: LaterOption = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Approve an order as the second officer; what it covers is taken out and the record published at once.

    \b
    Example: kith seal approve 9f2c41d07ab3e655 --by k_lind --agree
    """
    with _held(home) as at:
        sealing.approve_order(at.home, at.ledger, at.agencies, order, agree=agree, by=by, parties=at.parties)
    lines = [f"order {order} is {'in force' if agree else 'refused'}"]
    _answer_applied(home, {"order": order, "in_force": agree}, lines, now=agree and not later, as_json=as_json)


@app.command()
def lift(
    what: Annotated[str, typer.Argument(metavar="ORDER | REFERENCE", help="Id, or what an agency's own order covers.")],
    order_no: Annotated[str, typer.Option("--order-no", help="Number of the order that lifts it.")],
    by: ByOption,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Lift an order by order of the court; the second officer says the same command again.

    An order that came with an agency's feed never falls by itself: it is lifted by the reference it covers. Rows kept
    out come back with their next delivery, or by `kith remap`; what was expunged is gone.

    \b
    Example: kith seal lift 9f2c41d07ab3e655 --order-no 27-JV-030 --by r_ode
    """
    with _held(home) as at:
        lifted = sealing.lift_order(at.home, at.ledger, what, why=order_no, by=by, parties=at.parties)
    text = "lifted; the next run shows it" if lifted else "it waits for a second officer, who says the same again"
    answer({"lifted": lifted}, text=text, as_json=as_json)


@app.command()
def status(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """List the orders on record, and of each notice whether its recipient has answered.

    Its exit status is 5 where a recipient has not answered after the agreed days, or a proof is overdue.

    \b
    Example: kith seal status --json
    """
    with opened(home) as at:
        today = day_of(load_settings(at.home), datetime.now(UTC))
        orders = sealing.orders(at.ledger, today=today)
        told = retractions.notices(at.ledger, today=today)
    text = table(orders, ("order_id", "order_no", "kind", "effective", "stands", "marks", "verify_by", "proved"),
                 empty="there is no order on record")  # fmt: skip
    if told:
        text += "\n\n" + table(told, ("notice_id", "recipient", "releases", "sent", "answer_by", "stands"))
    answer({"orders": orders, "notices": told}, text=text, as_json=as_json)
    late = any(each["stands"] == "overdue" for each in told) or any(each["proof_overdue"] for each in orders)
    raise typer.Exit(5 if late else 0)


@app.command()
def acknowledge(
    notice: Annotated[str, typer.Argument(metavar="NOTICE", help="Its id, as `status` shows it.")],
    by: ByOption,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write down that a recipient has answered: what it had received is deleted.

    \b
    Example: kith seal acknowledge 3b1d90aa52c7f014 --by r_ode
    """
    with _held(home) as at:
        sealing.require_officer(by, at.parties)
        retractions.acknowledge(at.home, at.ledger, notice, by=by)
        today = day_of(load_settings(at.home), datetime.now(UTC))
        forget_released(at.home, at.ledger, read_index(at.ledger, at.home.keys, on=today), today=today)
    answer({"acknowledged": notice}, text="acknowledged", as_json=as_json)


@app.command()
def prove(
    order: OrderArgument,
    by: ByOption,
    out: Annotated[Path | None, typer.Option("--out", help="The report; else reports/proof_ORDER.json.")] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Look for what an order covers in every store, and write a signed report without content for the court.

    The signature lies beside it (.sig), by the key that signs receipts. Exit status 5: something was found where
    nothing may be.

    \b
    Example: kith seal prove 9f2c41d07ab3e655 --by r_ode --out proof.json
    """
    with _held(home) as at:
        settings = load_settings(at.home)
        today = day_of(settings, datetime.now(UTC))
        made = sealing_proof.prove(
            at.home, at.ledger, at.agencies, read_index(at.ledger, at.home.keys, on=today), order,
            exchange=settings.exchange, today=today,
        )  # fmt: skip
        path = (out or at.home.reports / f"proof_{order}.json").absolute()
        _write_proof(at, made, path, order=order, by=by)
    rows = [{**each, "kept_unseen": "yes" if each["kept_unseen"] else ""} for each in made.told["looked"]]
    end = "nothing was found where nothing may be" if made.clean else "something is left: run the exchange, then again"
    answer(made.told, text=f"{table(rows)}\n{end}\n{path}", as_json=as_json)
    raise typer.Exit(0 if made.clean else 5)


def _write_proof(at: Court, made: sealing_proof.Proof, path: Path, *, order: str, by: str) -> None:
    sealing.require_officer(by, at.parties)
    count, decision = made.told["found_where_nothing_may_be"], "clean" if made.clean else "found"
    append(at.home, Event("seal.prove", order, by, role="officer", decision=decision, counts={"found": count},
                          sha256=sha256(made.content).hexdigest()))  # fmt: skip
    for file, content in ((path.with_suffix(path.suffix + ".sig"), made.signature), (path, made.content)):
        with written_whole(file) as part:
            part.write_bytes(content)
    if made.clean:
        sealing.note_act(at.ledger, order, "proved", who=by)


@app.command("export")
def export_index(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written; keep it with your backups.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the seal index to a file, for a home that is restored from a backup older than its orders.

    \b
    Example: kith seal export /srv/backup/seals.json
    """
    with _held(home) as at:
        marks = sealing_export.export_seals(at.home, at.ledger, file)
    answer({"file": str(file), "marks": marks}, text=f"{marks:,} marks: {file}", as_json=as_json)


@app.command("import")
def import_index(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` wrote.")],
    later: LaterOption = False,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take up an exported seal index, and take out at once what its orders cover.

    \b
    Example: kith seal import /srv/backup/seals.json
    """
    with _held(home) as at:
        marks = sealing_export.import_seals(at.home, at.ledger, file)
    _answer_applied(home, {"marks": marks}, [f"{marks:,} marks are new here"], now=not later, as_json=as_json)


def _answer_applied(
    home: Path, value: dict[str, Any], lines: list[str], *, now: bool, as_json: bool
) -> None:  # fmt: skip
    """Says what was done, after a run that takes out what the order covers."""
    code = 0
    if now:
        from flows.terminal import home_at

        result = run_plain(home_at(home), [])
        show_failures(result.failures)
        code, value["run"] = result.exit_status, result.run_id
        lines.append(how_it_went(result))
    answer(value, text="\n".join(lines), as_json=as_json)
    raise typer.Exit(code)
