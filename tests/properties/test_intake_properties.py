"""What always holds of an intake: no row is lost, the order of files does not matter, once is as good as twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expectations.check_batch import rules_of
from expectations.retry import clear_superseded, retry_quarantined
from store.home import Home
from store.state import fold, next_state_path
from tests.intake import Intake, feed, read, went

MONDAY = date(2026, 3, 23)
FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))

CHANGE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["5", "6", "7"]), st.booleans())
NIGHTS = st.lists(st.lists(CHANGE, max_size=4), min_size=2, max_size=4)


def deliveries(nights: Sequence[Sequence[tuple[str, str, bool]]]) -> list[list[dict[str, Any]]]:
    """Nightly changes (key, grade, deleted) as rows; the version grows from row to row."""
    version, told = 0, []
    for night in nights:
        rows = []
        for number, grade, deleted in night:
            version += 1
            common = {"number": number, "_version": f"{version:04d}"}
            rows.append(common | ({"_action": "delete"} if deleted else {"grade": grade}))
        told.append(rows)
    return told


def load_all(root: Path, told: Sequence[tuple[int, list[dict[str, Any]]]]) -> list[tuple[Any, ...]]:
    """Loads (night, rows) in the order given; gives what is in force in the end, by content."""
    intake = Intake(Home(root), {"students": feed()})
    for night, rows in told:
        intake.load("students", rows, as_of=MONDAY + timedelta(days=night))
        retry_quarantined(intake.home, intake.ledger, intake.agency, intake.feeds["students"])
    intake.ledger.close()
    return intake.in_force("students", "_key", "grade", "_version")


@FEW
@given(NIGHTS, st.randoms(use_true_random=False))
def test_the_same_deliveries_in_any_order_end_in_the_same_state(nights: Any, random: Any) -> None:
    told = list(enumerate(deliveries(nights)))
    mixed = random.sample(told, len(told))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        assert load_all(Path(one), told) == load_all(Path(other), mixed)


ROW = st.fixed_dictionaries(
    {
        "number": st.sampled_from([None, "a", "b", "c", "d"]),
        "grade": st.sampled_from(["5", "6"]),
        "_action": st.sampled_from(["upsert", "upsert", "delete"]),
        "_version": st.sampled_from([None, "1", "2"]),
        "_problems": st.sampled_from([None, None, "number:damaged_identifier grade:too_long"]),
    }
)


@FEW
@given(
    st.lists(st.tuples(st.lists(ROW, max_size=8), st.integers(0, 2)), min_size=1, max_size=3),
    st.sampled_from(["delta", "full"]),
)
def test_every_row_goes_to_one_place_whatever_comes(told: Any, holds: str) -> None:
    with TemporaryDirectory() as root:
        intake = Intake(Home(Path(root)), {"students": feed(holds=holds)})
        for rows, broken in told:
            torn = [{"_record": len(rows) + n + 1, "code": "ragged", "raw_key": None} for n in range(broken)]
            checked = intake.load("students", rows, unreadable=torn)
            assert [record for record, _, _ in went(checked)] == list(range(1, len(rows) + broken + 1))
            assert sum(checked.counts.values()) == len(rows) + broken
            retry_quarantined(intake.home, intake.ledger, intake.agency, intake.feeds["students"])
            clear_superseded(intake.home, intake.ledger, intake.agency, intake.feeds["students"])


@FEW
@given(NIGHTS)
def test_folding_an_extract_again_changes_nothing(nights: Any) -> None:
    with TemporaryDirectory() as root:
        intake = Intake(Home(Path(root)), {"students": feed()})
        for night, rows in enumerate(deliveries(nights)):
            checked = intake.load("students", rows, as_of=MONDAY + timedelta(days=night))
            state = intake.state(intake.agency, "students")
            assert state is not None
            again = next_state_path(intake.home, checked.batch.extract, state)
            fold(state, checked.batch, f"read_parquet('{checked.rows}')", rules_of(feed()), into=again)
            assert read(f"SELECT * FROM '{again}'") == read(f"SELECT * FROM '{state}'")
