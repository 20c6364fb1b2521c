"""What changed between two snapshots, in counts: rows by table, persons, merges and splits."""

from __future__ import annotations

from typing import Any

from record.in_force import working_database
from record.snapshot import Snapshot
from store.home import literal

_MOVED = """
WITH joined AS (
    SELECT o.person_id AS old, n.person_id AS new, person_ref
    FROM read_parquet({old}) o FULL JOIN read_parquet({new}) n USING (person_ref)),
by_new AS (SELECT new, count(DISTINCT old) AS olds FROM joined WHERE new IS NOT NULL GROUP BY new),
by_old AS (SELECT old, count(DISTINCT new) AS news FROM joined WHERE old IS NOT NULL GROUP BY old)
SELECT
    (SELECT count(*) FROM joined WHERE old IS NULL) AS mentions_new,
    (SELECT count(*) FROM joined WHERE new IS NULL) AS mentions_gone,
    (SELECT count(*) FROM joined WHERE old <> new) AS mentions_moved,
    (SELECT count(*) FROM by_new WHERE new NOT IN (SELECT old FROM by_old)) AS persons_new,
    (SELECT count(*) FROM by_old WHERE old NOT IN (SELECT new FROM by_new)) AS persons_gone,
    (SELECT count(*) FROM by_new WHERE olds > 1) AS merges,
    (SELECT count(*) FROM by_old WHERE news > 1) AS splits
"""


def changes_between(parent: Snapshot, child: Snapshot) -> dict[str, Any]:
    """Counts of what changed: rows by table (before, after), and what became of the persons and their mentions.

    `merges` are persons that hold mentions of more than one person before, `splits` persons of before whose
    mentions are now more than one person's.
    """
    rows = {
        name: [parent.manifest["tables"].get(name, {"rows": 0})["rows"], entry["rows"]]
        for name, entry in child.manifest["tables"].items()
    }
    return {"rows": rows, "persons": _persons_between(parent, child)}


def no_changes(child: Snapshot) -> dict[str, Any]:
    """The same for the first snapshot: everything is new."""
    rows = {name: [0, entry["rows"]] for name, entry in child.manifest["tables"].items()}
    return {"rows": rows, "persons": {}}


def _persons_between(parent: Snapshot, child: Snapshot) -> dict[str, int]:
    with working_database(child.folder) as con:
        old, new = (literal(s.table("person_source")) for s in (parent, child))
        figures = con.sql(_MOVED.format(old=old, new=new)).to_arrow_table().to_pylist()[0]
        return {name: int(value) for name, value in figures.items()}
