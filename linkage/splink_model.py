"""Splink: training to a model file under version control, and what our scores are measured against."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
from splink import DuckDBAPI, Linker
from splink.internals.splink_dataframe import SplinkDataFrame

from linkage.model import population, settings

PAIRS_AT_ONCE = 1_000_000
Scorer: TypeAlias = Linker

for noisy in ("splink", "splink.internals"):
    logging.getLogger(noisy).setLevel(logging.ERROR)


def score(
    con: duckdb.DuckDBPyConnection, pairs: str, scorer: Scorer, *, into: str, least_weight: float | None = None
) -> None:
    """Scores pairs with Splink, a batch at a time.

    Args:
        con: Holds `mention`.
        pairs: Table with id_l, id_r.
        scorer: Made of a trained model by `scorer_of`.
        into: Table that is made: id_l, id_r, weight (log2 odds), probability, and of every comparison its level
            gamma_* (-1 not known) and weight mw_*; mw_tf_adj_* is what the frequency of the name adds.
        least_weight: Pairs below it are left out, unless the agency itself states them.
    """
    stated = "false" if least_weight is None else "(id_l, id_r) IN (SELECT (id_l, id_r) FROM stated)"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE pair_queue AS SELECT id_l, id_r, stated,
            (row_number() OVER (PARTITION BY stated) - 1) // {PAIRS_AT_ONCE} AS batch
        FROM (SELECT id_l, id_r, {stated} AS stated FROM {pairs})"""
    )
    batches = con.sql("SELECT DISTINCT stated, batch FROM pair_queue ORDER BY ALL").fetchall() or [(False, 0)]
    for number, (is_stated, batch) in enumerate(batches):
        part = f"FROM pair_queue WHERE stated = {is_stated} AND batch = {batch}"
        predicted = _predict(con, scorer, part, least_weight=None if is_stated else least_weight)
        make = f"CREATE OR REPLACE TEMP TABLE {into} AS" if number == 0 else f"INSERT INTO {into}"
        con.execute(
            f"{make} SELECT id_l, id_r, match_weight AS weight, match_probability AS probability, "
            f"COLUMNS('^(gamma|mw)_.*') FROM {predicted.physical_name}"
        )
        predicted.drop_table_from_database_and_remove_from_cache()
    con.execute("DROP TABLE pair_queue; DROP TABLE pair_batch")


def _predict(
    con: duckdb.DuckDBPyConnection, linker: Scorer, pairs: str, *, least_weight: float | None
) -> SplinkDataFrame:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE pair_batch AS "
        f"SELECT '0' AS match_key, id_l AS join_key_l, id_r AS join_key_r {pairs}"
    )
    linker.table_management.register_blocked_pairs_for_predict(linker._db_api.register("pair_batch"))
    return linker.inference.predict(threshold_match_weight=least_weight, warning_mode="never")


def _prior(con: duckdb.DuckDBPyConnection) -> float:
    return 1 / population(int(con.sql("SELECT count(*) FROM mention").fetchall()[0][0]))


def scorer_of(con: duckdb.DuckDBPyConnection, model: dict[str, Any]) -> Scorer:
    """What scores pairs of the table `mention` by a model; costs half a second to make, so make it once."""
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
