"""Link any table of persons, and say why two mentions are one person or not: `kith link`, `kith explain`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.lay_out_home import make_secret
from flows.terminal import HERE, HomeOption, JsonOption, answer, home_at, show_progress, table
from standard.errors import PublishError


def link(
    people: Annotated[Path, typer.Argument(metavar="PEOPLE", help="Parquet or CSV, one row for each mention.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for edges, clusters and persons (Parquet).")] = None,
    columns: Annotated[
        Path | None, typer.Option("--columns", help="YAML: how the file's columns become the common ones.")
    ] = None,
    draft_map: Annotated[
        bool, typer.Option("--draft-map", help="Print a column map drafted from the header, and link nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Link a table of persons in the common columns: persons.parquet says which mentions are one person.

    Person ids are made with the secret in OUT/identity, which is made at the first time.

    \b
    Example: kith link people.parquet --out linked
    Example: kith link register.csv --draft-map > register.yaml
    Example: kith link register.csv --columns register.yaml --out linked --json
    """
    show_progress()
    if draft_map:
        return _draft(people, as_json=as_json)
    if out is None:
        raise typer.BadParameter("--out says where the links are to stand")
    _link(people, out, columns, as_json=as_json)
    return None


def _draft(people: Path, *, as_json: bool) -> None:
    from linkage.column_map import draft_column_map, map_as_yaml

    drafted = draft_column_map(people)
    answer({"columns": drafted.columns, "left_out": drafted.left_out}, text=map_as_yaml(drafted), as_json=as_json)


def _link(people: Path, out: Path, columns: Path | None, *, as_json: bool) -> None:
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


def explain(
    record_l: Annotated[str, typer.Argument(metavar="A", help="A mention: agency/table/key.")],
    record_r: Annotated[str, typer.Argument(metavar="B", help="Another mention.")],
    home: HomeOption = HERE,
    people: Annotated[Path | None, typer.Option(help="A people table of `kith link` in place of the record's.")] = None,
    columns: Annotated[Path | None, typer.Option(help="Its column map.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the picture of the weights.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say why two mentions are one person or not: what each comparison adds, and what the guard says; no value.

    The weights add up to the weight of the pair, in the text, in --json and in the picture of --html.

    \b
    Example: kith explain hillside_schools/students/004211 valley_court/party/P1 --home exchange
    Example: kith explain hillside_schools/students/004211 valley_court/party/P1 --html pair.html
    Example: kith explain a-17 b-203 --people people.parquet
    """
    from flows.publishing import settings_of
    from linkage.explain import explain_pair
    from linkage.people import read_column_map

    mapped = read_column_map(columns) if columns else None
    if people:
        found = explain_pair(people, record_l, record_r, columns=mapped)
    else:
        links = _links_of_the_record(home)
        found = explain_pair(links / "people.parquet", record_l, record_r, settings=settings_of(links))
    if html:
        from record.explanation import write_explanation

        write_explanation(found, html)
    rows = [
        {"comparison": c.comparison, "level": c.level, "weight": round(c.weight, 2), "rarity": round(c.rarity, 2)}
        for c in found.comparisons
    ]
    guard = [f"{what}: {why}" for what, why in (("veto", found.veto), ("doubt", found.doubt)) if why]
    lines = [
        table(
            [{"comparison": "(any two mentions)", "level": "", "weight": round(found.prior, 2), "rarity": 0.0}, *rows]
        ),
        f"weight {found.weight:.2f} (log2 odds), probability {found.probability:.6f}",
        *(["the agency itself says that they are one person"] if found.stated else []),
        *guard,
        f"decision: {found.decision}",
        *([f"picture: {html}"] if html else []),
    ]
    answer(asdict(found), text="\n".join(lines), as_json=as_json)


def _links_of_the_record(home: Path) -> Path:
    from flows.publishing import links_of_the_record

    at = home_at(home)
    links = links_of_the_record(at)
    if links is None:
        raise PublishError("nothing is published yet", where=str(at.record), mend="publish with: kith run")
    return links
