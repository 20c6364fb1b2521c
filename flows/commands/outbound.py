"""Tell an agency about its own persons: `kith outbound`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.rows import opened
from flows.governed import OFF, day_of
from flows.settings import agency_folder, load_agencies_of, load_agency_of, load_settings
from flows.terminal import HERE, HomeOption, JsonOption, answer, table
from governance.load import governance_folder, load_governance
from standard.errors import PublishError
from store.runs import hold_home


def outbound(
    agency: Annotated[str, typer.Argument(metavar="AGENCY", help="The agency that is told.")],
    home: HomeOption = HERE,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what would be written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write to an agency's outbox what has changed about its own persons since it was told last.

    Every run does so for agencies that declare `outbound:`. Only the agency's own keys stand in it.

    \b
    Example: kith outbound hillside_schools --preview
    """
    from flows.send_outbound import permission, tell_agency
    from record.outbound import last_told, preview_feedback
    from record.snapshot import current_snapshot

    with opened(home) as at:
        settings = load_settings(at.home)
        loaded = load_agency_of(agency_folder(agency, at.home), at.home, settings)
        snapshot = current_snapshot(at.home)
        if snapshot is None:
            raise PublishError("nothing was published yet", where=str(at.home.record), mend="publish with: kith run")
        agreed = None
        if settings.governance != OFF:
            agreed = load_governance(governance_folder(at.home), load_agencies_of(at.home, settings))
        day = day_of(settings, datetime.now(UTC))
        with permission(at.home, at.ledger, agreed, loaded, day) as allowed:
            if allowed is None:
                answer(
                    {"files": []}, text=f"{agency} is told nothing: no agreement in force allows it", as_json=as_json
                )
                return
            if last_told(at.home, agency) == f"{snapshot.snapshot_id}{allowed.tag}":
                answer({"files": []}, text=f"{agency} knows snapshot {snapshot.snapshot_id} already", as_json=as_json)
                return
            if preview:
                manifest, changes = preview_feedback(at.home, snapshot, agency, permit=allowed.permit)
            else:
                with hold_home(at.home):
                    told = tell_agency(at.home, loaded, allowed)
                manifest, changes = (told.manifest if told else {"files": []}), {}
    files = [{"feed": each["feed"], "rows": each["rows"]} for each in manifest["files"]]
    counted = [{"change": change, "own keys": rows} for change, rows in changes.items()]
    text = table(files, empty="nothing") + (f"\n\n{table(counted)}" if counted else "")
    answer(
        {"snapshot_id": snapshot.snapshot_id, "files": manifest["files"], "changes": changes},
        text=text,
        as_json=as_json,
    )
