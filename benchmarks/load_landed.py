"""One night over what has landed in a home, without Prefect: the process that `benchmarks.whole_way` measures."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from flows.intake import load_extracts
from flows.publishing import link, publish, report
from flows.run import Night, open_night
from store.home import open_home
from store.ledger import stage


def load_landed(root: Path, now: datetime) -> dict[str, float]:
    """Seconds by stage from the landed files to the published record; agencies go side by side, so these overlap."""
    with open_night(open_home(root), now=now) as night:
        night.each_agency(partial(load_extracts, night))
        link(night)
        publish(night)
        report(night)
        return _by_stage(night)


def _by_stage(night: Night) -> dict[str, float]:
    with night.ledger.reading() as connection:
        stages = sa.select(stage.c.name, stage.c.started_at, stage.c.finished_at)
        rows = connection.execute(stages.where(stage.c.run_id == night.run.run_id)).all()
    seconds: dict[str, float] = {}
    for name, began, ended in rows:
        seconds[name] = seconds.get(name, 0.0) + _seconds_between(began, ended)
    return seconds


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


if __name__ == "__main__":
    print(json.dumps(load_landed(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))))
