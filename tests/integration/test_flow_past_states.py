"""Every prior state of a feed can be made again: by day and by extract, without what is sealed today."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from expectations.past_states import write_state_as_of
from flows.cli import app
from standard.errors import DeclarationError, ExtractError
from tests.exchange import MONDAY, small_exchange
from tests.school import PUPILS, VISITS, School


def pupils_as_of(school: School, moment: object, out: Path, feed: str = "students") -> list[str]:
    write_state_as_of(school.home, school.ledger, school.agency, school.agency.feeds[feed], moment, into=out)  # type: ignore[arg-type]
    with duckdb.connect() as con:
        return [key for (key,) in con.execute(f"SELECT _key FROM '{out}' ORDER BY 1").fetchall()]


def test_the_rows_of_every_day_and_extract_come_again(tmp_path: Path) -> None:
    school = School(small_exchange(tmp_path, agencies=("hillside_schools",)))
    states = []
    without = PUPILS.replace("004213,Ines,Valdrin,2014-02-20,3,11C\n", "")
    for text in (PUPILS, without, f"{without}004299,New,Pupil,2014-02-20,1,11C\n"):
        school.night(students=text)
        states.append(school.state("students", "_key", "surname", "_since"))
    extracts = school.ids("students")
    for night, (state, extract_id) in enumerate(zip(states, extracts, strict=True)):
        keys = [key for key, _, _ in state]
        day = (MONDAY + timedelta(days=night)).date()
        assert pupils_as_of(school, day, tmp_path / f"{night}.parquet") == keys
        assert pupils_as_of(school, extract_id, tmp_path / "state.csv") == keys
    assert (tmp_path / "state.csv").stat().st_mode & 0o077 == 0
    assert not list(school.home.root.glob(".state-*"))
    with pytest.raises(ExtractError, match="nothing of") as before:
        pupils_as_of(school, (MONDAY - timedelta(days=1)).date(), tmp_path / "none.parquet")
    assert f"a day from {MONDAY.date()} on" in before.value.mend
    for said in (f"{extracts[0]}-1", "Monday"):  # the id of a receipt, too
        asked = ["state", "hillside_schools/students", "--as-of", said, "--out", str(tmp_path / "asked.csv")]
        ran = CliRunner().invoke(app, [*asked, "--home", str(school.home.root)])
        assert isinstance(ran.exception, DeclarationError) if said == "Monday" else ran.exit_code == 0, ran.output
    # An order of the third night: who is sealed today is in no state of the past.
    school.night(visits=f"{VISITS}1,004211,2026-09-08,\n")
    school.night(visits=f"{VISITS}1,004211,2026-09-08,Y\n")
    assert pupils_as_of(school, extracts[0], tmp_path / "sealed.parquet") == ["004212", "004213"]
    assert pupils_as_of(school, school.ids("visits")[0], tmp_path / "visits.parquet", "visits") == []
