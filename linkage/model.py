"""The model file that pairs are scored by: a version under linkage/models, or any file in Splink's format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from standard.declarations import read_yaml
from standard.errors import LinkageError

FOLDER = Path(__file__).parent
COMPARISONS = FOLDER / "comparisons.yaml"
MODELS = FOLDER / "models"
# Fewer people than this are weighed as if they were so many: a small table is no proof that strangers are rare.
LEAST_POPULATION = 4_096


def settings() -> dict[str, Any]:
    """The untrained Splink settings that comparisons.yaml declares."""
    declared: dict[str, dict[str, Any]] = read_yaml(COMPARISONS)
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "sql_dialect": "duckdb",
        "blocking_rules_to_generate_predictions": [{"blocking_rule": "l.id = r.id", "sql_dialect": "duckdb"}],
        "comparisons": [_comparison(name, comparison) for name, comparison in declared.items()],
        "retain_intermediate_calculation_columns": True,
        "retain_matching_columns": True,
        "max_iterations": 25,
    }


def _comparison(name: str, declared: dict[str, Any]) -> dict[str, Any]:
    null = {"sql_condition": declared["null"], "label_for_charts": "not known", "is_null_level": True}
    fixed = declared.get("fixed", {})
    levels = [
        {"sql_condition": sql, "label_for_charts": label} | _fixed(fixed.get(label))
        for label, sql in declared["levels"].items()
    ]
    if "term_frequency" in declared:
        levels[0] |= {"tf_adjustment_column": declared["term_frequency"], "tf_adjustment_weight": 1.0}
    rest = {"sql_condition": "ELSE", "label_for_charts": declared["else"]} | _fixed(fixed.get(declared["else"]))
    return {"output_column_name": name, "comparison_levels": [null, *levels, rest]}


def _fixed(given: dict[str, str] | None) -> dict[str, Any]:
    """m and u that are given by hand, where training tables hold too little to learn them from."""
    return {
        key: value
        for name, number in (given or {}).items()
        for key, value in ((f"{name}_probability", float(number)), (f"fix_{name}_probability", True))
    }


def read_model(model: str | Path) -> dict[str, Any]:
    """The trained model of a version (its name under linkage/models) or of a file.

    Raises:
        LinkageError: There is no such model, or its comparisons are not those of comparisons.yaml.
    """
    path = Path(model) if str(model).endswith(".json") else MODELS / f"{model}.json"
    try:
        trained: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise LinkageError(
            "the linkage model cannot be read", where=str(path), mend="name a version that stands in linkage/models"
        ) from error
    if _conditions(trained) != _conditions(settings()):
        raise LinkageError(
            "the model was trained on other comparisons than those declared now",
            where=f"{path} and {COMPARISONS}",
            mend="train a new version, or go back to the comparisons of this one",
        )
    return trained


def _conditions(model: dict[str, Any]) -> list[list[tuple[str, str]]]:
    return [
        [(level["sql_condition"], level["label_for_charts"]) for level in comparison["comparison_levels"]]
        for comparison in model.get("comparisons", [])
    ]


def population(people: int) -> int:
    """How many people a table of so many is weighed as: in steps of two, so that it does not move with every row."""
    return int(2 ** max(people - 1, LEAST_POPULATION - 1).bit_length())


def prior_weight(people: int) -> float:
    """The weight (log2 odds) of a pair of so many people before anything is compared."""
    return -math.log2(population(people) - 1)
