"""The picture of a pair: every bar begins where the one before ended, and all together are the weight."""

from __future__ import annotations

import math
import re
from pathlib import Path

from linkage.explain import ComparisonWeight, Explanation
from record.charts import Step, waterfall
from record.explanation import steps_of, write_explanation

COMPARED = (
    ComparisonWeight("given", "exact", 4.0, 3.5),
    ComparisonWeight("birth", "one digit", 6.25),
    ComparisonWeight("sex", "different", -5.0),
)
TOLD = Explanation("school/<1>", "court/2", -14.0, COMPARED, -5.25, 0.0256, False, "sexes differ", None, "no")


def test_the_bars_add_up_to_the_weight() -> None:
    steps = steps_of(TOLD)
    assert math.isclose(sum(step.adds for step in steps), TOLD.weight)
    assert [step.of for step in steps] == ["any two mentions", "given", "birth", "sex"]


def test_every_bar_begins_where_the_one_before_ended() -> None:
    picture = str(waterfall([Step("a", "", 2.0), Step("b", "", 3.0), Step("c", "", -4.0)], label="three"))
    bars = [(float(x), float(w)) for x, w in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture)]
    one, two, three, total = bars
    assert math.isclose(two[0], one[0] + one[1], abs_tol=0.2)
    assert math.isclose(three[0] + three[1], two[0] + two[1], abs_tol=0.2)
    assert math.isclose(total[0] + total[1], three[0], abs_tol=0.2)


def test_the_page_is_private_escaped_and_whole(tmp_path: Path) -> None:
    path = write_explanation(TOLD, tmp_path / "pair.html")
    page = path.read_text(encoding="utf-8")
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert "school/&lt;1&gt;" in page and "<1>" not in page
    assert "Kept apart: sexes differ" in page and "together: -5.25" in page
    assert "://" not in page
