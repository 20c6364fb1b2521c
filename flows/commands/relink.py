"""Another linkage model, seen before it is adopted: `kith relink`."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.rows import opened
from flows.terminal import HERE, HomeOption, JsonOption, answer, show_progress, table
from standard.errors import LinkageError, PublishError

if TYPE_CHECKING:
    from linkage.relink import Relinking
    from store.home import Home
    from store.ledger import Ledger


def relink(
    model: Annotated[str, typer.Option("--model", help="A version in linkage/models, or a model file (JSON).")],
    home: HomeOption = HERE,
    preview: Annotated[bool, typer.Option("--preview", help="Say what would change, and adopt nothing.")] = False,
    why: Annotated[str, typer.Option("--why", help="On what grounds the model is adopted.")] = "",
    by: Annotated[
        str | None,
        typer.Option("--by", envvar="KITH_REVIEWER", help="Who adopts it; who is logged in where nothing is said."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Link the record's people by another model, say what would merge and split and why, and adopt it.

    Nothing is published: the next run links by the adopted model, and every change of an id has the cause `model`.
    Judgements hold as before. With --preview nothing is written at all.

    \b
    Example: kith relink --model 2026-2 --preview
    Example: kith relink --model 2026-2 --why "measured on the sample of May"
    """
    from linkage.relink import adopt_model
    from store.runs import hold_home

    show_progress()
    if not preview and not why.strip():
        raise LinkageError("a model is adopted on grounds", mend="give --why, or look first with --preview")
    with opened(home) as at, hold_home(at.home):
        found = _linked_by(at.home, at.ledger, model)
        if not preview:
            adopt_model(at.ledger, _kept(at.home, model), who=by or getpass.getuser(), why=why, found=found)
    end = "nothing is adopted" if preview else "adopted: the next run links by it (kith run)"
    answer(asdict(found) | {"adopted": not preview}, text=f"{_text(found)}\n{end}", as_json=as_json)


def _linked_by(home: Home, ledger: Ledger, model: str) -> Relinking:
    """Links the people of the record by a model, beside the record, and compares."""
    from flows.publishing import links_of_the_record, read_identity_secret, settings_of
    from linkage.link import link_people
    from linkage.register import judgements_in_force, read_judgements
    from linkage.relink import compare_links

    before = links_of_the_record(home)
    if before is None:
        raise PublishError("nothing is published yet", where=str(home.record), mend="publish with: kith run")
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".relink-") as work:
        link_people(
            before / "people.parquet", Path(work), secret=read_identity_secret(home),
            settings=settings_of(before).model_copy(update={"model": model}), known=before / "persons.parquet",
            judgements=judgements_in_force(read_judgements(ledger)),
        )  # fmt: skip
        return compare_links(before, Path(work))


def _kept(home: Home, model: str) -> str:
    """The name by which the home keeps a model: a version's own, or that of a copy of the file within the home."""
    if not model.endswith(".json"):
        return model
    from record.snapshot import file_sha256

    name = f"models/{Path(model).stem}-{file_sha256(Path(model))[:12]}.json"
    (home.root / "models").mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(model, home.root / name)
    (home.root / name).chmod(0o600)
    return name


def _text(found: Relinking) -> str:
    reasons = [asdict(reason) for reason in found.reasons]
    return "\n".join([
        f"from model {found.model_before} to {found.model_after}: {found.persons_before:,} persons become "
        f"{found.persons_after:,}; {found.merges:,} merge others, {found.splits:,} come apart, "
        f"{found.moved:,} mentions change their person",
        table(reasons, empty="no person changes"),
    ])  # fmt: skip
