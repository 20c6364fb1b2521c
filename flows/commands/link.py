"""Link any table of persons, and say why two mentions are one person or not: `kith link`, `kith explain`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.lay_out_home import make_secret
from flows.terminal import JsonOption, answer, show_progress, table


def link(
    people: Annotated[Path, typer.Argument(metavar="PEOPLE", help="Parquet or CSV, one row for each mention.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for edges, clusters and persons (Parquet).")],
    columns: Annotated[
        Path | None, typer.Option("--columns", help="YAML: how the file's columns become the common ones.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Link a table of persons in the common columns: persons.parquet says which mentions are one person.

    Person ids are made with the secret in OUT/identity, which is made at the first time.

    \b
    Example: kith link people.parquet --out linked
    Example: kith link register.csv --columns register.yaml --out linked --json
    """
    show_progress()
    from linkage.link import link_people
    from linkage.people import read_column_map

    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    links = link_people(
        people,
        out,
        secret=make_secret(out / "identity").read_bytes().strip(),
        columns=read_column_map(columns) if columns else None,
    )
    counts = {name: getattr(links, name) for name in ("people", "pairs", "linked", "review", "vetoed", "persons")}
    value = counts | {
        "out": str(out), "seconds": links.seconds, "missing_columns": links.missing_columns,
        "skipped_blocks": [asdict(blocks) for blocks in links.skipped_blocks],
    }  # fmt: skip
    lines = [table([counts])]
    if links.missing_columns:
        lines.append(f"not in the table: {', '.join(links.missing_columns)}")
    lines += [f"{out / name}.parquet" for name in ("persons", "clusters", "edges")]
    answer(value, text="\n".join(lines), as_json=as_json)
