"""A code that nobody knew gets its meaning: first the effect on what came before is told, then the line is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from standard.errors import DeclarationError
from tests.exchange import small_exchange
from tests.school import PUPILS, School

MEANS = ["hillside_schools/students", "sex", "3", "X", "--by", "R. Steward", "--match", "close", "--json"]


@pytest.fixture
def school(tmp_path: Path) -> School:
    small = small_exchange(tmp_path, agencies=("hillside_schools",))
    school = School(small)
    school.night(students=PUPILS)
    school.ledger.close()
    return school


def kith(school: School, *arguments: str) -> dict[str, object]:
    ran = CliRunner().invoke(app, [*arguments, "--home", str(school.home.root)])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def test_the_effect_is_told_before_the_line_is_written(school: School) -> None:
    crosswalk = school.folder / "crosswalks" / "sex.csv"
    before = crosswalk.read_bytes()
    [pending] = kith(school, "codes", "pending", "--json")
    assert (pending["value"], pending["rows"]) == ("3", 1)  # type: ignore[index]
    told = kith(school, "codes", "map", *MEANS)
    assert '"sex": 1' in json.dumps(told["effect"])
    assert crosswalk.read_bytes() == before
    assert kith(school, "codes", "map", *MEANS, "--note", "undisclosed and non-binary are one", "--adopt")["adopted"]
    assert crosswalk.read_text().splitlines()[-1].startswith("3,X,close")
    assert "R. Steward" in crosswalk.read_text()
    kith(school, "remap", "hillside_schools/students", "--json")
    assert school.state("students", "sex", "sex_match")[-1] == ("X", "close")
    assert kith(school, "codes", "pending", "--json") == []


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["hillside_schools/students", "sex", "3", "Q"], "Q"),
        (["hillside_schools/students", "sex", "1", "X"], "same time"),
        (["hillside_schools/students", "surname", "3", "X"], "is no code"),
        (["hillside_schools/students", "sex", "3", "X", "--match", "sure"], "match is one of"),
    ],
)
def test_a_line_that_cannot_stand_there_is_refused_and_nothing_is_written(
    school: School, arguments: list[str], what: str
) -> None:
    before = (school.folder / "crosswalks" / "sex.csv").read_bytes()
    with pytest.raises(DeclarationError, match=what) as told:
        kith(school, "codes", "map", *arguments, "--by", "R. Steward", "--adopt", "--json")
    assert told.value.where.startswith(str(school.folder)), "a file that a person can open"
    assert (school.folder / "crosswalks" / "sex.csv").read_bytes() == before
