"""Churn and contacts of earlier days through the command: the judge finds what the solver says, and so do joined tables."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from allocator.policy.experiment import exploring, held_out
from allocator.policy.reader import policy_for
from ranker.scores import open_scores
from scripts import allocate
from tests.allocator.instances import AS_OF, catalogue, write_scores

USERS = 300
IDS = catalogue().ids
EXPERIMENT = """experiment:
  holdout: {share: 0.1, salt: h}
  exploration: {share: 0.1, salt: e}
"""
RULES = """pinned: [{id: welcome, users: {market: DE}, action: push_1/duo}]
fallback: {action: [home_1/books, push_1/books], users: {market: [SE, NO]}}
contact:
  - {id: total, max: 2}
  - {id: month, max: 3, days: 28}
  - {id: push_week, max: 1, where: {surface: push}, days: 7}
  - {id: product_fortnight, max: 1, each: product, days: 14}
constraints:
  - {id: steady, kind: churn, max: 85%}
  - {id: calm, kind: churn, users: {market: SE}, max: 0.8, strength: {soft: 0.02}}
  - {id: seen, kind: churn, users: {not: {market: SE}}, max: 0, strength: report_only}
  - {id: pushes, kind: change, where: {surface: push}, max: 150%}
  - {id: books, kind: volume, where: {product: books}, max: 25%}
"""


def write_earlier(folder: Path, seed: int, words: bool) -> None:
    """Up to three contacts of each user, in any order: some of one slot, some gone, some of users who are gone."""
    rng = np.random.default_rng([seed, 1])
    people = np.repeat(np.arange(USERS + 5), rng.integers(0, 4, USERS + 5))
    rows = {"user_id": ids_of(people, words), "action": rng.choice([*IDS, "home_9/gone"], len(people))}
    folder.mkdir()
    pd.DataFrame(rows).sample(frac=1, random_state=seed).to_parquet(folder / "part-0.parquet")
    (folder / "prices.json").write_text('{"rows": []}')


def write_history(scores: Path, seed: int, words: bool) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 2])
    people = np.repeat(np.arange(USERS + 5), rng.integers(0, 4, USERS + 5))
    dates = [AS_OF - timedelta(int(days)) for days in rng.integers(0, 30, len(people))]
    rows = pd.DataFrame({"user_id": ids_of(people, words), "action": rng.choice([*IDS, "home_9/gone"], len(people))})
    (scores / "history").mkdir()
    rows = rows.assign(date=pd.Series(dates, dtype=pd.ArrowDtype(pa.date32())))
    rows.to_parquet(scores / "history" / "part-0.parquet")
    return rows


def ids_of(people: np.ndarray, words: bool) -> list:
    return [f"user-{i}" for i in people] if words else (people * 7 + 3).tolist()


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(file) for file in sorted(folder.glob("*.parquet")))


def changed(users: pd.Series, before: pd.DataFrame, now: pd.DataFrame) -> pd.Series:
    had, got = (rows.groupby("user_id")["action"].agg(frozenset) for rows in (before, now))
    return users.map(lambda user: had.get(user, frozenset()) != got.get(user, frozenset()))


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize(
    ("seed", "method"), [pytest.param(0, "prices", marks=pytest.mark.slow), (1, "exact"), (2, "prices")]
)
def test_what_the_solver_certifies_the_judge_finds(
    tmp_path: Path, settings_for: Callable, seed: int, method: str, words: bool
) -> None:
    scores = write_scores(tmp_path / "scores", USERS, seed, words=words)
    write_earlier(tmp_path / "earlier", seed, words)
    history = write_history(scores, seed, words)
    result = allocate.run(settings_for(tmp_path, EXPERIMENT + RULES, previous=tmp_path / "earlier", method=method))
    assert result.audit.clean
    users, rows = rows_of(scores).reset_index(drop=True), rows_of(tmp_path / "out")
    changed_U = changed(users["user_id"], rows_of(tmp_path / "earlier"), rows)
    told = {record.id: record for record in result.certificate.constraints}
    assert told["steady"].achieved == changed_U.sum() <= told["steady"].max == np.floor(0.85 * USERS)
    assert told["calm"].achieved == changed_U[users["market"] == "SE"].sum()
    assert told["seen"].achieved == changed_U[users["market"] != "SE"].sum()
    assert told["steady"].binding == "max"
    for days, most, wanted, by in ((28, 3, "", ""), (7, 1, "push_1", ""), (14, 1, "", "product")):
        recent = history[(pd.Timestamp(AS_OF) - pd.to_datetime(history["date"])).dt.days < days]
        counted = [each[each["action"].isin(IDS) & each["action"].str.startswith(wanted)] for each in (recent, rows)]
        keys = [[each["user_id"], *([each["action"].str.split("/").str[1]] if by else [])] for each in counted]
        had, got = (each.groupby(key).size() for each, key in zip(counted, keys, strict=True))
        assert (got <= (most - had.reindex(got.index, fill_value=0)).clip(lower=0)).all()
    scores_, policy = open_scores(scores), tmp_path / "policy.yaml"
    read = policy_for(policy, {}, scores_, previous=True)
    given = held_out(read, users["user_id"].to_numpy()) | exploring(read, users["user_id"].to_numpy())
    assert {True, False} <= set(changed_U[given]), "the bound counts who keeps what they had among these too"
