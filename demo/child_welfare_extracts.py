"""What the child welfare agency sends: its case database as it stands on a day, and the monthly federal file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa

from demo.child_welfare import Welfare
from demo.formats import Frames, Tables, lay_out, read_queries, tables_as_of
from demo.population import Population

LAYOUT = Path(__file__).parent / "agencies" / "demo_child_welfare" / "layouts" / "federal_child.csv"

KEYS: dict[str, tuple[str, ...]] = {
    "client": ("client_id",),
    "client_name": ("client_id", "seq"),
    "residence": ("client_id", "seq"),
    "relation": ("client_id", "related_id"),
    "intake": ("intake_no",),
    "allegation": ("intake_no", "victim_id"),
    "service_case": ("case_no",),
    "removal": ("removal_no",),
    "placement": ("removal_no", "seq"),
    "safety_plan": ("plan_no", "version"),
    "consent": ("consent_no",),
    "worker": ("worker_id",),
}


def tables_on(day: dt.date, frames: Frames) -> Tables:
    """The tables of the case system as they stand on a day (without the watermark)."""
    return tables_as_of(day, "child_welfare", frames, but="federal_child")


def federal_rows(month_end: dt.date, frames: Frames) -> pa.Table:
    """The rows of a month's federal child file, cumulative since October, in the columns of LAYOUT."""
    return lay_out(read_queries("child_welfare", day=month_end)["federal_child"], **frames)


def frames_of(welfare: Welfare, population: Population) -> Frames:
    """What the queries above are asked of."""
    homes = population.homes.rename(columns={n: f"now_{n}" for n in ("line1", "unit", "city", "zip", "phone")})
    people = population.people[["household", "adult", "sex", "nickname", "former_surname"]].reset_index(names="who")
    households = people["household"].iloc[welfare.clients["who"]].unique()
    known = people[people["household"].isin(households)].join(
        homes[[n for n in homes if not str(n).startswith("was_")]], on="household"
    )
    clients = welfare.clients.drop(columns=["household"])
    return {
        "clients": clients,
        "people": known,
        "reports": welfare.reports,
        "victims": welfare.victims,
        "removals": welfare.removals,
        "placements": welfare.placements,
        # Reports speak of a person's first record; the second one that a hotline worker opened stays empty.
        "main": clients[clients["fate"].isin(["", "before_adoption"])],
    }
