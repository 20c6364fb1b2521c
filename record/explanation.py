"""The page that shows why two mentions are one person or not: a waterfall of weights, no value of a person."""

from __future__ import annotations

from pathlib import Path

from linkage.explain import Explanation
from record.charts import Step, waterfall
from record.report import environment
from store.home import written_whole

TEMPLATE = "explanation.html"


def steps_of(told: Explanation) -> list[Step]:
    """The prior and what every comparison adds, the rarity of a name with it; they sum up to the weight."""
    compared = [Step(c.comparison, c.level, c.weight + c.rarity) for c in told.comparisons]
    return [Step("any two mentions", "", told.prior), *compared]


def write_explanation(told: Explanation, path: Path) -> Path:
    """Writes the page (mode 0600)."""
    picture = waterfall(steps_of(told), label=f"Weights that add up to {told.weight:.2f}")
    page = environment().get_template(TEMPLATE).render(told=told, picture=picture)
    with written_whole(path) as part:
        part.write_text(page, encoding="utf-8")
    return path
