"""What judgements would change: the components they touch are settled again, ids and all, and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from linkage.clusters import TORN, cluster_table, component_table, components
from linkage.identity import assign_ids
from linkage.judgements import apply_judgements, place_judgements
from store.home import connect, literal


@dataclass(frozen=True)
class PersonChange:
    """What happens to one id (linkage.identity.EventKind), and the other id; new ids are called new 1, new 2."""

    person_id: str
    kind: str
    other_id: str | None


@dataclass(frozen=True)
class Effect:
    """What the next run would make of the persons that judgements touch.

    Attributes:
        before: Person -> mentions now.
        after: Person -> mentions then.
        changes: What happens to ids.
        moved: Mentions that change their person.
        uncompared: Pairs between the persons that were never compared; the run compares them, and a rule may yet
            keep two of them apart.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    changes: list[PersonChange] = field(default_factory=list)
    moved: int = 0
    uncompared: int = 0


def preview(links: Path, judgements: pa.Table, touched: tuple[str, str], *, most: int) -> Effect:
    """Settles the components of two mentions again as these judgements say.

    Args:
        links: Folder of the links in force.
        judgements: Those that would be in force (linkage.judgements.SCHEMA).
        touched: The mentions of the judgement that is looked at.
        most: Most records a cluster may have.
    """
    with connect() as con:
        prior = _take_component(con, links, touched)
        place_judgements(con, judgements)
        _take_unscored(con)
        apply_judgements(con)
        component_table(con)
        uncompared = _uncompared(con)
        cluster_table(con, most=most, prior=prior)
        assign_ids(con, secret=b"a preview mints nothing that lasts")
        return _effect(con, uncompared)


def _take_component(con: duckdb.DuckDBPyConnection, links: Path, touched: tuple[str, str]) -> float:
    """Makes `mention`, `edge`, `known` and `former` of the components of two mentions, and gives the prior weight."""
    con.execute(
        f"""CREATE TEMP TABLE placed AS
        SELECT row_number() OVER (ORDER BY record_id)::INTEGER AS id, record_id, person_id
        FROM read_parquet({literal(links / "persons.parquet")});
        CREATE TEMP TABLE edge AS
        SELECT l.id AS id_l, r.id AS id_r, e.* REPLACE (
            CASE WHEN held IS NOT NULL AND held <> '{TORN}' THEN 'link' ELSE decision END AS decision,
            CASE WHEN held = '{TORN}' THEN held END AS held)
        FROM read_parquet({literal(links / "edges.parquet")}) e
        JOIN placed l ON l.record_id = e.record_l JOIN placed r ON r.record_id = e.record_r"""
    )
    ends = con.sql("SELECT id_l, id_r FROM edge WHERE decision = 'link'").fetchnumpy()
    nodes, labels = components(np.column_stack([ends["id_l"], ends["id_r"]]))
    con.register("labelled", pa.table({"id": nodes, "component": labels}))
    con.execute(
        """CREATE TEMP TABLE mention AS
        WITH grouped AS (
            SELECT p.*, coalesce(c.component, p.id) AS component FROM placed p LEFT JOIN labelled c USING (id)),
        mine AS (SELECT * FROM grouped WHERE record_id IN ($1, $2))
        SELECT id, record_id, NULL::VARCHAR AS given FROM grouped
        WHERE component IN (SELECT component FROM mine) OR person_id IN (SELECT person_id FROM mine)""",
        list(touched),
    )
    con.unregister("labelled")
    con.execute(
        """DELETE FROM edge WHERE id_l NOT IN (SELECT id FROM mention) OR id_r NOT IN (SELECT id FROM mention);
        CREATE TEMP TABLE known AS SELECT record_id, person_id FROM placed SEMI JOIN mention USING (id)"""
    )
    con.execute(
        f"""CREATE TEMP TABLE former AS SELECT record_id, person_id, times
        FROM read_parquet({literal(links / "former.parquet")}) SEMI JOIN mention USING (record_id)"""
    )
    parts = [
        name for (name,) in con.sql("SELECT column_name FROM (DESCRIBE edge)").fetchall() if name.startswith("mw_")
    ]
    said = " + ".join(f"coalesce({name}, 0)" for name in parts) or "0"
    return float(con.sql(f"SELECT coalesce(avg(weight - ({said})), 0) FROM edge").fetchall()[0][0])


def _take_unscored(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        """INSERT INTO edge BY NAME SELECT id_l, id_r, false AS stated, 'no' AS decision
        FROM judged_pair ANTI JOIN edge USING (id_l, id_r)"""
    )


def _uncompared(con: duckdb.DuckDBPyConnection) -> int:
    rows = con.sql(
        """SELECT count(*) FROM component l JOIN component r ON l.component = r.component AND l.id < r.id
        ANTI JOIN edge e ON e.id_l = l.id AND e.id_r = r.id"""
    ).fetchall()
    return int(rows[0][0])


def _effect(con: duckdb.DuckDBPyConnection, uncompared: int) -> Effect:
    con.execute(
        """CREATE TEMP TABLE called AS
        SELECT person_id, CASE WHEN person_id IN (SELECT person_id FROM known UNION SELECT person_id FROM former)
            THEN person_id ELSE 'new ' || row_number() OVER (
                PARTITION BY person_id IN (SELECT person_id FROM known UNION SELECT person_id FROM former)
                ORDER BY cluster) END AS name
        FROM person_of;
        CREATE TEMP TABLE then_person AS
        SELECT m.record_id, n.name AS person_id
        FROM mention m JOIN cluster c USING (id) JOIN person_of p USING (cluster) JOIN called n USING (person_id)"""
    )
    before = con.sql("SELECT person_id, count(*) FROM known GROUP BY ALL ORDER BY ALL").fetchall()
    after = con.sql("SELECT person_id, count(*) FROM then_person GROUP BY ALL ORDER BY ALL").fetchall()
    changes = con.sql(
        """SELECT coalesce(a.name, e.person_id), e.kind, coalesce(b.name, e.other_id) FROM person_event e
        LEFT JOIN called a ON a.person_id = e.person_id LEFT JOIN called b ON b.person_id = e.other_id
        WHERE e.kind <> 'minted' ORDER BY ALL"""
    ).fetchall()
    moved = con.sql(
        "SELECT count(*) FROM known k JOIN then_person t USING (record_id) WHERE k.person_id <> t.person_id"
    ).fetchall()[0][0]
    return Effect(dict(before), dict(after), [PersonChange(*change) for change in changes], int(moved), uncompared)
