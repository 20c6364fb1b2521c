"""The audit log: `kith audit verify|checkpoint|list|export`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, table
from governance.disclosures import check_disclosures
from releases.aggregates_register import check_tables
from standard.errors import AuditError
from store.audit_check import Fault, Found, check_export, check_log, read_entries
from store.audit_entry import Entry
from store.audit_log import checkpoint as sign_head
from store.audit_log import segments
from store.home import Home, written_whole

app = typer.Typer(help="What was done, by whom and why: a log that shows whether it was touched.", no_args_is_help=True)
_SHOWN = ("seq", "at", "actor", "role", "action", "object", "decision", "reason", "agreement")


@app.command()
def verify(
    witness: Annotated[
        list[Path] | None, typer.Option(help="A receipt or manifest that somebody else kept (several times).")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="An exported log instead of the home's own.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With --log: the exchange's public key (PEM).")
    ] = None,
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make every hash, MAC and signature of the log again and compare; exit status 11 where anything was touched.

    It is held against its head, its checkpoints, every receipt and manifest of the home, the register of disclosures
    and what is given by --witness.

    \b
    Example: kith audit verify --home exchange
    Example: kith audit verify --witness 20260907T120000_students_3f2a90c1d4e5-1.json
    Example: kith audit verify --log audit.jsonl --key exchange.pem --witness manifest.json
    """
    given = witness or []
    if log is not None:
        if key is None:
            raise typer.BadParameter("an exported log is verified with the exchange's public key: --key FILE")
        found = check_export(log, key.read_text(encoding="ascii", errors="replace"), given)
    else:
        at = home_at(home)
        found = check_log(at, given)
        found.faults += _of_the_registers(at, found)
    found.notes += [f"line {seq} began {what}; what became of it nobody wrote: it was killed, or goes on"
                    for seq, what in sorted(found.open_intents.items())]  # fmt: skip
    value = {"entries": found.entries, "checkpoints": found.checkpoints, "witnesses": found.witnesses,
             "faults": [asdict(fault) for fault in found.faults], "notes": found.notes}  # fmt: skip
    answer(value, text=_told(found), as_json=as_json)
    raise typer.Exit(AuditError.exit_status if found.faults else 0)


def _of_the_registers(at: Home, found: Found) -> list[Fault]:
    """Files of disclosures and tables are asked for by the log: of one that cannot be read nothing more can be said."""
    if any(fault.code == "altered" for fault in found.faults):
        return []
    entries = list(read_entries(at))
    return [*check_disclosures(at, entries), *check_tables(at, entries)]


def _told(found: Found) -> str:
    counts = f"{found.entries:,} entries, {found.checkpoints:,} checkpoints, {found.witnesses:,} heads elsewhere"
    faults = [f"{fault.code}: {fault.what}\n  where: {fault.where}" for fault in found.faults]
    said = f"{len(faults)} things are not as they were written" if faults else "all of it is as it was written"
    return "\n".join([f"{counts}: {said}", *faults, *(f"note: {note}" for note in found.notes)])


@app.command()
def checkpoint(home: HomeOption = HERE, as_json: JsonOption = False) -> None:
    """Sign where the log ends, and print that head: who keeps it can prove what the log held.

    Every run does so before receipts are written.

    \b
    Example: kith audit checkpoint --json > head.json
    """
    end = sign_head(home_at(home))
    if end is None or end.checkpoint is None:
        raise AuditError("nothing was ever logged", where=str(home_at(home).audit), mend="run the exchange: kith run")
    text = f"line {end.checkpoint.seq} is signed: {end.checkpoint.sha256}"
    answer({"audit": end.told()}, text=text, as_json=as_json)


@app.command("list")
def list_entries(
    home: HomeOption = HERE,
    action: Annotated[str | None, typer.Option(help="Only this action, such as release.")] = None,
    agreement: Annotated[str | None, typer.Option(help="Only what was done under this agreement.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this officer or account did.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only from this day on (UTC).")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was done, the newest last.

    \b
    Example: kith audit list --action release --agreement DUL-2026-001
    """
    wanted = {"action": action, "agreement": agreement, "actor": actor}
    rows = [row for row in _rows(home_at(home)) if all(given in (None, row[name]) for name, given in wanted.items())]
    newest = [row for row in rows if since is None or row["at"] >= since.date().isoformat()][-limit:]
    shown = [row | {"at": row["at"][:19].replace("T", " ")} for row in newest]
    answer(newest, text=table(shown, _SHOWN, empty="nothing is logged"), as_json=as_json)


def _rows(at: Home) -> Iterator[dict[str, Any]]:
    for entry in read_entries(at):
        yield _row(entry)


def _row(entry: Entry) -> dict[str, Any]:
    return {"seq": entry.seq, "at": entry.at, "of": entry.of, **asdict(entry.event)}


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The file to write.")],
    home: HomeOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the whole log, line for line, into one file that an auditor verifies without any secret.

    \b
    Example: kith audit export --out audit.jsonl && kith receipt key > exchange.pem
    """
    at = home_at(home)
    sign_head(at)
    if out.exists():
        raise AuditError("there is such a file already", where=str(out), mend="name another one")
    with written_whole(out) as part, part.open("wb") as into:
        for path in segments(at):
            with path.open("rb") as lines:
                for line in lines:
                    into.write(line)
    answer({"exported": str(out)}, text=f"written: {out}", as_json=as_json)
