"""The cookbook runs as it stands, prints what it says, and what it prints is true of the invented county."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import measures_truth as truth
import pytest
from analyst_release import released

COOKBOOK = Path(__file__).resolve().parents[2] / "docs" / "cookbook.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```\n)?", re.DOTALL)


@pytest.fixture(scope="module")
def cooked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names of all blocks after they ran in order, with what each printed and what the book says."""
    root = tmp_path_factory.mktemp("cookbook")
    (root / "plots").mkdir()
    _, release = released(root)
    names: dict[str, Any] = {"release_folder": release.folder, "plots": root / "plots"}
    text, outputs = COOKBOOK.read_text("utf-8"), []
    for block in BLOCK.finditer(text):
        printed = io.StringIO()
        line = text[: block.start("code")].count("\n")
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["code"], str(COOKBOOK), "exec"), names)
        outputs.append((block, printed.getvalue()))
    if os.environ.get("REWRITE_COOKBOOK") == "1":
        _rewrite(text, outputs)
    return names | {"outputs": outputs}


def _rewrite(text: str, outputs: list[tuple[re.Match[str], str]]) -> None:
    for block, printed in reversed(outputs):
        if block["printed"] is not None:
            text = text[: block.start("printed")] + printed + text[block.end("printed") :]
    COOKBOOK.write_text(text, "utf-8")


def test_every_block_prints_what_stands_below_it(cooked: dict[str, Any]) -> None:
    assert len(cooked["outputs"]) >= 10
    for block, printed in cooked["outputs"]:
        assert printed == (block["printed"] or ""), block["code"]


def test_every_question_has_a_plot_that_needs_no_network(cooked: dict[str, Any]) -> None:
    plots = sorted(cooked["plots"].glob("*.json"))
    assert [path.stem for path in plots] == [
        "asked", "attendance", "back", "late", "order", "transitions", "twice",
    ]  # fmt: skip
    for path in plots:
        spec = json.loads(path.read_text("utf-8"))
        (rows,) = spec["datasets"].values()
        assert rows and "url" not in spec["data"], path.name


def by(frame: Any, key: str, *columns: str) -> dict[str, tuple[Any, ...]]:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return {row[key]: tuple(row[column] for column in columns) for row in rows}


def agree(shown: dict[str, tuple[Any, ...]], true: dict[str, tuple[Any, ...]]) -> int:
    """How many figures are shown; each that is must be the true one."""
    assert set(shown) == set(true)
    pairs = [(name, s, t) for name in true for s, t in zip(shown[name], true[name], strict=True) if s is not None]
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
    return len(pairs)


def test_history_and_referrals_are_those_of_the_lives(cooked: dict[str, Any]) -> None:
    assert by(cooked["history"], "history", "units") == {k: (n,) for k, n in truth.status_offenses().items()}
    units = {which: truth.asked(which) for which in ("open", "past")}
    true = {which: (*truth.counted(u, after=30)[1:], truth.median_days(u, after=30)) for which, u in units.items()}
    assert agree(by(cooked["asked"], "history", "observed", "found", "median_days"), true) == 6
    assert len(cooked["days"]) == truth.counted(truth.asked(), after=30)[2]


def test_the_order_of_agencies_is_that_of_the_lives(cooked: dict[str, Any]) -> None:
    taken = truth.paths()
    shown = {path: units for path, (units,) in by(cooked["order"], "path", "units").items() if path in taken}
    assert len(shown) > 10
    assert shown == {path: taken[path] for path in shown}


def test_returns_and_transitions_are_those_of_the_lives(cooked: dict[str, Any]) -> None:
    made = {
        "reentry_cfsr2": (truth.reunified, 365), "reentry_cfsr3": (truth.left_within_a_year, 365),
        "recurrence_6_months": (truth.recurrence_6, 183), "recurrence_12_months": (truth.recurrence_12, 365),
        "rereport_12_months": (truth.rereport, 365), "rearrest_12_months": (truth.rearrest, 365),
        "readjudication_24_months": (truth.readjudication, 730), "school_change_gap": (truth.gaps, 10),
        "school_change_after_placement": (truth.school_lost, 30), "ageing_out_support": (truth.aged_out, 90),
        "support_after_move": (truth.moved, 60), "release_to_school": (truth.release_to_school, 30),
    }  # fmt: skip
    true = {name: truth.counted(make(), after=after)[1:] for name, (make, after) in made.items()}
    back, after = (by(cooked[name], "measure", "observed", "found") for name in ("back", "after"))
    assert agree(back | after, true) >= 18


def test_days_missed_late_tasks_and_duplicates_are_those_of_the_lives(cooked: dict[str, Any]) -> None:
    _, _, compared, _, _ = truth.around_removal()
    assert int(cooked["attendance"]["compared"].sum()) == compared
    assert agree(by(cooked["late"], "responsible_agency", "observed", "found"), truth.late()) == 6
    observed, found = truth.counted(truth.assessed_twice(), after=90)[1:]
    assert (int(cooked["twice"]["observed"].sum()), int(cooked["twice"]["found"].sum())) == (observed, found)
