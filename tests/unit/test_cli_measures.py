"""`kith measure` and `kith contradictions` at the terminal, on a record and on a release."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from analyst_release import released
from measures_truth import counted, reunified
from record_rows import ANA, ANA_CLIENT, ANA_COURT, COUNTY, inputs_of, new_home

from flows.cli import app
from flows.terminal import run_command_line
from record.publish import publish
from releases.measures.declarations import CATALOGUE, catalogue

Kith = Callable[..., tuple[int, str]]
SETTINGS = "exchange: county\ngovernance: off\n"


@pytest.fixture
def kith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kith:
    def say(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["kith", *map(str, words)])
        monkeypatch.delenv("KITH_HOME", raising=False)
        capsys.readouterr()
        try:
            status = run_command_line(app)
        except SystemExit as ended:
            status = int(ended.code or 0)
        told = capsys.readouterr()
        return status, told.out + told.err

    return say


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home with a record, and a release of it."""
    root = tmp_path_factory.mktemp("places")
    _, release = released(root)
    (root / "home" / "exchange.yaml").write_text(SETTINGS, "utf-8")
    return root / "home", release.folder


def test_a_record_and_its_release_answer_the_same(places: tuple[Path, Path], kith: Kith) -> None:
    home, release = places
    of_home, of_release = (
        json.loads(kith("measure", "run", "reentry_cfsr2", *of, "--json")[1])
        for of in (("--home", home), ("--release", release))
    )
    assert of_home["min_cell"] == 11 and of_release["min_cell"] == 5
    (row,) = of_release["rows"]
    assert (row["units"], row["observed"], row["found"]) == counted(reunified(), after=365)
    assert of_home["rows"] == of_release["rows"]
    assert of_release["definition"]["name"] == "CFSR round 2, measure C1.4"


def test_an_answer_says_how_it_is_to_be_read(places: tuple[Path, Path], kith: Kith) -> None:
    status, text = kith("measure", "run", "reentry_cfsr2", "--by", "year", "--home", places[0])
    assert status == 0
    for told in ("CFSR round 2", "not_observed", "told of: removal", "fewer than 11", "not a re-entry"):
        assert told in text, told


def test_an_answer_in_csv_has_a_line_for_each_group(places: tuple[Path, Path], kith: Kith) -> None:
    _, text = kith(
        "measure", "run", "late_responsibilities", "--by", "responsible_agency", "--csv", "--home", places[0]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["responsible_agency"] for row in rows] == ["care", "court", "school"]


def test_every_measure_is_listed_and_one_is_shown_with_its_definition(kith: Kith) -> None:
    listed = json.loads(kith("measure", "list", "--json")[1])
    assert [row["measure"] for row in listed] == sorted(catalogue().measures)
    for name in ("reentry_cfsr3", "attendance_around_removal", "known_to_agencies_in_order"):
        measure = catalogue().measures[name]
        _, text = kith("measure", "show", name)
        for told in (measure.question, measure.definition.source, measure.definition.ours, measure.missing):
            assert told in text, name
        assert "needs" in text


def test_the_catalogue_is_checked_and_one_of_ones_own_too(tmp_path: Path, kith: Kith) -> None:
    assert kith("measure", "check") == (0, f"{len(catalogue().measures)} measures can be asked\n")
    for name in ("_events.yaml", "reentry_cfsr2.yaml"):
        (tmp_path / name).write_text((CATALOGUE / name).read_text("utf-8").replace("'reunified'", "went_home"), "utf-8")
    status, text = kith("measure", "check", tmp_path)
    assert status == 3 and "reentry_cfsr2.yaml" in text


def test_what_cannot_be_asked_says_why(places: tuple[Path, Path], kith: Kith) -> None:
    for words, status, told in (
        (("run", "reentry"), 3, "there is no measure 'reentry'"),
        (("run", "reentry_cfsr2", "--by", "county"), 3, "not asked by county"),
    ):
        got, text = kith("measure", *words, "--home", places[0])
        assert (got, told in text) == (status, True), text
    got, text = kith("measure", "run", "reentry_cfsr2", "--release", places[0])
    assert got == 8 and "here is no release" in text


@pytest.fixture
def contradicted(tmp_path: Path) -> Path:
    """A record in which the school and child welfare hold two dates of birth of Ana."""
    home, ledger = new_home(tmp_path / "home")
    born = [
        {"person_ref": ANA, "birth_date": date(2012, 3, 4)},
        {"person_ref": ANA_CLIENT, "birth_date": date(2009, 11, 20)},
        {"person_ref": ANA_COURT, "birth_date": date(2012, 3, 4)},
    ]
    publish(home, ledger, inputs_of(tmp_path / "in", COUNTY | {"person_demographic": born}), run_id="run-1", fence=1)
    ledger.close()
    (home.root / "exchange.yaml").write_text(SETTINGS, "utf-8")
    return home.root


def test_contradictions_are_counted_and_told_with_their_sources(contradicted: Path, kith: Kith) -> None:
    counts = json.loads(kith("contradictions", "--home", contradicted, "--json")[1])
    assert {row["kind"]: (row["persons"], row["perhaps two persons"]) for row in counts}["birth_date"] == (1, 1)
    found: list[dict[str, Any]] = json.loads(
        kith("contradictions", "--kind", "birth_date", "--home", contradicted, "--json")[1]
    )
    (one,) = found
    assert one["explain"] == f"kith explain {ANA_CLIENT} {ANA_COURT}"
    assert sorted((s["agency"], s["table"], s["source_key"]) for s in one["sources"]) == [
        ("care", "CLIENT_T", "c1"), ("court", "party", "P1"), ("school", "students", "01"),
    ]  # fmt: skip


def test_contradictions_show_no_value_of_a_person(contradicted: Path, kith: Kith) -> None:
    status, text = kith("contradictions", "--kind", "birth_date", "--home", contradicted)
    assert status == 0 and "perhaps two persons: kith explain" in text
    assert not [value for value in ("2012", "2009", "Ana", "Ode") if value in text]


def test_an_unknown_kind_of_contradiction_is_refused(contradicted: Path, kith: Kith) -> None:
    status, text = kith("contradictions", "--kind", "age", "--home", contradicted)
    assert status == 3 and "birth_date" in text
