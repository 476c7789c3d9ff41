"""The week after an allocation, drawn from a market's truth: tables as a company would have them once outcomes are complete."""

import json
import shutil
from datetime import date, timedelta
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
    shutil.copytree(market / "tables", out)
    shutil.copy(market / "catalogue.json", out / "catalogue.json")
    day = read_world(market).settings.snapshot
    _add_week(market, contacts, market / "users", out, day, seed, later)


def write_company_after(company: Path, market: Path, contacts: pd.DataFrame, out: Path, seed: int) -> None:
    """What a company has six weeks after an allocation: `tables/` with its contacts as exposures, a row each, and what came of them;
    `users/` to score next. company: what it had before, or the market. Listeners who were shown nothing are logged as such."""
    shutil.copytree(company / "tables", out / "tables")
    shutil.copy(company / "catalogue.json", out / "catalogue.json")
    users = pa.concat_tables([pq.read_table(file) for file in sorted((company / "users").glob("*.parquet"))])
    day = users.column("as_of")[0].as_py()
    _add_week(market, contacts, company / "users", out / "tables", day, seed, DAYS * 6)
    ids = users.column("user_id").to_pandas()
    nothing = ids[~ids.isin(contacts["user_id"])]
    shown = pd.concat([contacts["user_id"], nothing], ignore_index=True)
    schema = pq.read_schema(next((company / "tables" / "exposures").glob("*.parquet")))
    columns = {
        "user_id": shown,
        "decided_on": [day] * len(shown),
        "action": [*contacts["action"], *["none"] * len(nothing)],
        "arm": ["policy"] * len(shown),
        "propensity": [*contacts["marginal_propensity"], *[0.5] * len(nothing)],
        "eligible": users.column("eligible").take(pd.Index(ids).get_indexer(shown)),
    }
    exposures = pa.table({name: columns[name] for name in schema.names}).cast(schema)
    pq.write_table(exposures, out / "tables" / "exposures" / f"week-{day}.parquet")
    (out / "users").mkdir()
    next_day = pa.array([day + timedelta(days=DAYS * 6)] * len(users), pa.date32())
    users = users.set_column(users.column_names.index("as_of"), "as_of", next_day)
    pq.write_table(users, out / "users" / "part-00000.parquet")


def _add_week(
    market: Path, contacts: pd.DataFrame, users: Path, tables: Path, day: date, seed: int, later: int
) -> None:
    generator = np.random.default_rng(seed)
    user_id, base, added = expected_outcomes(market, contacts)
    frames = []
    for outcome in read_world(market).settings.outcomes:
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
    for file in sorted(users.glob("*.parquet")):  # the snapshot on the day of the decision
        table = pq.read_table(file).drop_columns("eligible")
        pq.write_table(table, tables / "users" / f"coming-{day}-{file.name}")
    schema = pq.read_schema(next((market / "tables" / "outcomes").glob("*.parquet")))
    table = pa.Table.from_pandas(pd.concat(frames), preserve_index=False).cast(schema)
    pq.write_table(table, tables / "outcomes" / f"week-{day}.parquet")
    described = json.loads((tables / "schema.json").read_text())
    described["snapshot"] = (day + timedelta(days=later)).isoformat()
    (tables / "schema.json").write_text(json.dumps(described))
