"""The verdict on every planted trap; a kind that nobody judges is itself a fault."""

from __future__ import annotations

from collections.abc import Iterator

from demo.reference_county import trap_persons, trap_rows
from demo.reference_county.observed import Observed
from demo.reference_county.verdicts import Line, judged

_JUDGES = {**trap_rows.JUDGES, **trap_persons.JUDGES}
_LASTING = {*trap_rows.LASTING, *trap_persons.JUDGES}


def trap_lines(seen: Observed) -> Iterator[Line]:
    """One line a trap of the delivery, and of the deliveries before where it must hold for good."""
    for trap in seen.truth.traps:
        if trap.delivery == seen.delivery or (trap.delivery < seen.delivery and trap.kind in _LASTING):
            judge = _JUDGES.get(trap.kind)
            faults = judge(seen, trap) if judge else ["this kind of trap is not judged yet"]
            yield judged("trap", seen.delivery, f"{trap.trap_id} {trap.agency}", "not sprung", faults)
