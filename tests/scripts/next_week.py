"""The week after an allocation, drawn from a market's truth: tables as a company would have them once outcomes are complete."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.market.truth import read_world

DAYS = 7
PURCHASE = 20.0  # EUR; revenue is this or nothing, so that its mean is the truth's


def expected_outcomes(
    market: Path, contacts: pd.DataFrame
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """user_id [U]; per metric what is expected without contacts [U] and what these contacts add [U], effects adding up."""
    world = read_world(market)
    truth = pa.concat_tables([pq.read_table(f) for f in sorted((market / "truth" / "given_all").glob("*.parquet"))])
    user_id = truth.column("user_id").to_numpy()
    row_N = pd.Index(user_id).get_indexer(contacts["user_id"])
    action_N = pd.Index(world.catalogue.ids).get_indexer(contacts["action"])
    base, added = {}, {}
    for outcome in world.settings.outcomes:
        effect_UA = np.stack(truth.column(f"mean_{outcome.name}").to_numpy(zero_copy_only=False))
        base[outcome.name] = truth.column(f"base_{outcome.name}").to_numpy().astype(float)
        added[outcome.name] = np.bincount(row_N, effect_UA[row_N, action_N], len(user_id))
    return user_id, base, added


def write_tables_after(market: Path, contacts: pd.DataFrame, out: Path, seed: int, *, later: int = 40) -> None:
    """Tables taken `later` days after the market's: its own, and the outcomes of one week in which these contacts were shown."""
    generator = np.random.default_rng(seed)
    world = read_world(market)
    user_id, base, added = expected_outcomes(market, contacts)
    day = world.settings.snapshot
    frames = []
    for outcome in world.settings.outcomes:
        mean_U = np.maximum(base[outcome.name] + added[outcome.name], 0.0)
        if outcome.kind == "binary":
            value_U = (generator.random(len(user_id)) < mean_U).astype(float)
        elif outcome.kind == "count":
            value_U = generator.binomial(DAYS, np.minimum(mean_U / DAYS, 1.0)).astype(float)
        else:
            value_U = PURCHASE * (generator.random(len(user_id)) < mean_U / PURCHASE)
        hit = np.flatnonzero(value_U)
        occurred = np.datetime64(day) + np.int64(outcome.from_day)
        frames.append(
            pd.DataFrame(
                {
                    "user_id": user_id[hit],
                    "outcome": outcome.name,
                    "occurred_on": np.full(len(hit), occurred, "datetime64[D]"),
                    "recorded_on": np.full(len(hit), occurred + 1, "datetime64[D]"),
                    "value": value_U[hit],
                }
            )
        )
    shutil.copytree(market / "tables", out)
    shutil.copy(market / "catalogue.json", out / "catalogue.json")
    for file in sorted((market / "users").glob("*.parquet")):  # the snapshot on the day of the decision
        table = pq.read_table(file).drop_columns("eligible")
        pq.write_table(table, out / "users" / f"coming-{file.name}")
    schema = pq.read_schema(next((market / "tables" / "outcomes").glob("*.parquet")))
    table = pa.Table.from_pandas(pd.concat(frames), preserve_index=False).cast(schema)
    pq.write_table(table, out / "outcomes" / "week.parquet")
    described = json.loads((out / "schema.json").read_text())
    described["snapshot"] = (day + timedelta(days=later)).isoformat()
    (out / "schema.json").write_text(json.dumps(described))
