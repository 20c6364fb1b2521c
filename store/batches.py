"""The facts of a mapped batch beside its rows, so that a run that was killed goes on from there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from store.extracts import Batch, Extract, FileFinding, Severity
from store.home import written_whole

_FACTS = "batch.json"


def write_batch(batch: Batch) -> None:
    """Writes counts, findings and the reason to hold into the batch's folder, last: with it the batch is whole."""
    facts = {
        "received": batch.received,
        "declared": batch.declared,
        "hold": batch.hold,
        "findings": [asdict(finding) for finding in batch.findings],
    }
    with written_whole(batch.folder / _FACTS) as part:
        part.write_text(json.dumps(facts), encoding="utf-8")


def read_batch(folder: Path, extract: Extract) -> Batch:
    """The batch of an extract that was mapped before."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    findings = tuple(FileFinding(**{**each, "severity": Severity(each["severity"])}) for each in facts["findings"])
    return Batch(extract, folder, facts["received"], facts["declared"], findings, facts["hold"])
