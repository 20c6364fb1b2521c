"""Splink: training to a model file under version control, and what our scores are measured against."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
from splink import DuckDBAPI, Linker

from linkage.model import population, settings

Scorer: TypeAlias = Linker

for noisy in ("splink", "splink.internals"):
    logging.getLogger(noisy).setLevel(logging.ERROR)


def score(con: duckdb.DuckDBPyConnection, pairs: str, scorer: Scorer, *, into: str) -> None:
    """Scores pairs with Splink itself, against which linkage.score is held.

    Args:
        con: Holds `mention`.
        pairs: Table with id_l, id_r.
        scorer: Made of a trained model by `scorer_of`.
        into: Table that is made: id_l, id_r, weight (log2 odds), probability, and of every comparison its level
            gamma_* (-1 not known) and weight mw_*; mw_tf_adj_* is what the frequency of the name adds.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE asked_pair AS "
        f"SELECT '0' AS match_key, id_l AS join_key_l, id_r AS join_key_r FROM {pairs}"
    )
    scorer.table_management.register_blocked_pairs_for_predict(scorer._db_api.register("asked_pair"))
    predicted = scorer.inference.predict(warning_mode="never")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT id_l, id_r, match_weight AS weight, "
        f"match_probability AS probability, COLUMNS('^(gamma|mw)_.*') FROM {predicted.physical_name}"
    )
    predicted.drop_table_from_database_and_remove_from_cache()
    con.execute("DROP TABLE asked_pair")


def _prior(con: duckdb.DuckDBPyConnection) -> float:
    return 1 / population(int(con.sql("SELECT count(*) FROM mention").fetchall()[0][0]))


def scorer_of(con: duckdb.DuckDBPyConnection, model: dict[str, Any]) -> Scorer:
    """What scores pairs of the table `mention` by a model."""
    con.execute("CREATE OR REPLACE TEMP VIEW compared AS SELECT * EXCLUDE (tf_given, tf_surname) FROM mention")
    api = DuckDBAPI(con)
    linker = Linker(
        api.register("compared"),
        {**model, "probability_two_random_records_match": _prior(con)},
        validate_settings=False,
    )
    for column in ("given", "surname"):
        _register_frequencies(con, linker, column)
    return linker


def _register_frequencies(con: duckdb.DuckDBPyConnection, linker: Linker, column: str) -> None:
    """How common each name is in the reference list, which `standardise` put beside it."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE frequency_{column} AS "
        f"SELECT DISTINCT {column}, tf_{column} FROM mention WHERE {column} IS NOT NULL"
    )
    api = linker._db_api
    linker.table_management.register_term_frequency_lookup(api.register(f"frequency_{column}"), column)


# Each pass blocks on what other comparisons can be learnt from; what is blocked on is learnt in another pass.
PASSES = (
    "l.ssn = r.ssn",
    "l.birth = r.birth AND l.surname = r.surname",
    "l.given = r.given AND l.surname = r.surname AND l.homes[1] = r.homes[1]",
)


def train(con: duckdb.DuckDBPyConnection, *, pairs: int = 5_000_000, seed: int = 1) -> dict[str, Any]:
    """Learns m and u from the table `mention` without labels; the same table gives the same model.

    Args:
        con: Holds `mention`.
        pairs: Random pairs from which u is estimated.
        seed: Of the random sample.
    """
    con.execute("SET threads = 1")
    linker = scorer_of(con, settings())
    linker.training.estimate_u_using_random_sampling(max_pairs=pairs, seed=seed, min_count_per_level=None)
    for rule in PASSES:
        linker.training.estimate_parameters_using_expectation_maximisation(rule, max_pairs=500_000)
    trained: dict[str, Any] = linker.misc.save_model_to_json() | {"linker_uid": "kith"}
    for comparison in trained["comparisons"]:
        for level in comparison["comparison_levels"]:
            _keep_within_reason(level)
    return trained


def _keep_within_reason(level: dict[str, Any]) -> None:
    """A level the sample never showed is rare, not impossible; figures are rounded so that files compare."""
    if level.get("is_null_level"):
        return
    for name, least in (("m_probability", 1e-5), ("u_probability", 1e-8)):
        value = level.get(name)
        level[name] = float(f"{max(value if isinstance(value, float) else 0.0, least):.6g}")


def save_model(model: dict[str, Any], path: Path) -> None:
    """Writes a model file."""
    path.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
