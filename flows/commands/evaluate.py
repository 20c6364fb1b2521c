"""How good linkage is, with a truth or by judged samples: `kith evaluate`."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.rows import opened
from flows.terminal import JsonOption, answer, table
from standard.errors import LinkageError, PublishError
from store.home import Home

if TYPE_CHECKING:
    from linkage.evaluate import Evaluation


def evaluate(
    what: Annotated[
        Path, typer.Argument(metavar="[PEOPLE_OR_HOME]", help="A home, a people table, or a folder `kith link` wrote.")
    ] = Path(),
    truth: Annotated[
        Path | None,
        typer.Option(help="Parquet or CSV with record_id, truth (who it really is), maybe source; or the demo's."),
    ] = None,
    columns: Annotated[Path | None, typer.Option(help="Column map of the people table.")] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Draw so many pairs for judging; the estimate follows from what is judged."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Say how precise and complete the links are: with a truth exactly, without one by an estimate from judgements.

    With --truth: pairs linked, pairs within persons by agencies and by race, sex and age group, whole persons.
    Without: what was decided by agencies, and the estimate with its 95 % interval from the sample that was drawn last
    by --sample and judged by `kith review decide`. No value of a person is shown.

    \b
    Example: kith evaluate exchange --sample 200
    Example: kith evaluate exchange
    Example: kith evaluate register.csv --columns register.yaml --truth truth.csv
    """
    if truth is not None:
        found = _against_truth(what, truth, columns)
        answer(_evaluation(found), text=_evaluation_text(found), as_json=as_json)
    elif not Home(what.expanduser().resolve()).settings_file.is_file():
        raise LinkageError(
            "without a truth only the record of a home can be evaluated, by judged samples",
            where=str(what), mend="name a home, or give --truth",
        )  # fmt: skip
    elif sample is not None:
        _draw(what, sample, seed, as_json=as_json)
    else:
        _estimated(what, as_json=as_json)


def _against_truth(what: Path, truth: Path, columns: Path | None) -> Evaluation:
    from linkage.evaluate import evaluate_links
    from linkage.people import read_column_map

    today = datetime.now(UTC).date()
    if what.is_dir():
        links = _links_in(what)
        people = links / "people.parquet"
        with tempfile.TemporaryDirectory(dir=truth.parent, prefix=".kith-evaluate-") as work:
            told = _by_record(truth, Path(work))
            return evaluate_links(links, told, people=people if people.is_file() else None, on=today)
    from linkage.link import link_file

    mapped = read_column_map(columns) if columns else None
    with tempfile.TemporaryDirectory(dir=what.parent, prefix=".kith-evaluate-") as work:
        links = link_file(what, Path(work), columns=mapped).into
        return evaluate_links(links, truth, people=_common(what, mapped, Path(work)), on=today)


_OF_THE_DEMO = ("agency", "table_or_file", "source_person_key", "true_person_id")


def _by_record(truth: Path, work: Path) -> Path:
    """A truth told by agency, table and key, as the demo's is, by record_id; any other as it is."""
    from store.home import connect

    with connect(temp=work) as con:
        if truth.suffix != ".csv" or not truth.is_file():
            return truth
        told = con.read_csv(str(truth), header=True, all_varchar=True)
        if not set(_OF_THE_DEMO) <= set(told.columns):
            return truth
        path = work / "truth.parquet"
        reference = "concat_ws('/', agency, table_or_file, source_person_key) AS record_id"
        told.project(f"{reference}, true_person_id AS truth, agency AS source").write_parquet(str(path))
        return path


def _common(people: Path, columns: Any, work: Path) -> Path:
    """The people table in the common columns, beside its links."""
    from linkage.people import read_people
    from store.home import connect

    path = work / "people.parquet"
    with connect(temp=work) as con:
        read_people(con, people, columns)
        con.sql("SELECT record_id, race, sex, birth_date FROM people").write_parquet(str(path))
    return path


def _links_in(folder: Path) -> Path:
    """The links of a home's record, or a folder of `kith link`."""
    home = Home(folder.expanduser().resolve())
    if not home.settings_file.is_file():
        return folder
    from flows.publishing import links_of_the_record

    links = links_of_the_record(home)
    if links is None:
        raise PublishError("nothing is published yet", where=str(home.record), mend="publish with: kith run")
    return links


def _figures(score: Any) -> dict[str, Any]:
    return {
        "true": score.true, "found": score.found, "right": score.right,
        "precision": round(score.precision, 4), "recall": round(score.recall, 4),
    }  # fmt: skip


def _evaluation(found: Evaluation) -> dict[str, Any]:
    return {
        "mentions": found.mentions, "pairs_linked": _figures(found.linked),
        "pairs_within_persons": _figures(found.joined[0]), "whole_persons": _figures(found.persons),
        "by_sources": [{"sources": score.sources, **_figures(score)} for score in found.joined[1:]],
        "by_group": [
            {"by": score.by, "group": score.group, **_figures(score), "false_per_1000": round(score.false_per_1000, 2)}
            for score in found.groups
        ],
    }  # fmt: skip


def _evaluation_text(found: Evaluation) -> str:
    said = _evaluation(found)
    overall = [
        {"of": name.replace("_", " "), **said[name]}
        for name in ("pairs_linked", "pairs_within_persons", "whole_persons")
    ]
    parts = [f"{found.mentions:,} mentions with a truth", table(overall), table(said["by_sources"])]
    return "\n\n".join([*parts, table(said["by_group"], empty="no people table: no groups")])


def _draw(folder: Path, number: int, seed: int, *, as_json: bool) -> None:
    from linkage.register import State, Verdict, read_judgements
    from linkage.sampling import draw_sample

    with opened(folder) as at:
        drawn = draw_sample(at.ledger, _links_in(folder), number, seed=seed)
        done = {
            j.pair for j in read_judgements(at.ledger) if j.state is State.IN_FORCE and j.verdict is not Verdict.UNSURE
        }
    rows = [
        {"record_l": pair.record_l, "record_r": pair.record_r, "stratum": pair.stratum, "of": pair.pairs,
         "judged": (min(pair.record_l, pair.record_r), max(pair.record_l, pair.record_r)) in done}
        for pair in drawn
    ]  # fmt: skip
    text = (
        f"{table(rows)}\njudge each with: kith review decide A B same|different --why ..., then: kith evaluate {folder}"
    )
    answer(rows, text=text, as_json=as_json)


def _estimated(folder: Path, *, as_json: bool) -> None:
    from linkage.quality import linkage_quality
    from linkage.register import read_judgements

    with opened(folder) as at:
        found = linkage_quality(_links_in(folder), at.ledger, read_judgements(at.ledger))
    estimates = found["estimates"]
    lines = [
        table(found["decisions"], empty="no pairs were compared"),
        f"judgements: {', '.join(f'{count} {name}' for name, count in found['judgements'].items())}",
        f"estimate: {estimates}; draw pairs with --sample" if isinstance(estimates, str) else table(estimates),
    ]
    answer(found, text="\n\n".join(lines), as_json=as_json)
