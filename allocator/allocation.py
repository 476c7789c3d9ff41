"""The allocation dataset: a row per contact, written from the solver's slates, with what explains each choice.

Axes: N contacts, U users, K contacts of a slate.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from allocator.certificate import Contacts, contact_values
from allocator.problem import Data, Problem
from allocator.solve.passes import Users, explain_contacts
from ranker.scores import InputError, Scores

ROWS_PER_FILE = 4_000_000


@dataclass(frozen=True)
class Allocation:
    """Contacts in the order of users and slots, each with its margin, runner-up (-1: nothing), source and propensity."""

    contacts: Contacts
    margin_N: np.ndarray
    runner_up_N: np.ndarray
    propensity_N: np.ndarray

    def __len__(self) -> int:
        return len(self.contacts)


def assemble(
    users: Users, price_R: np.ndarray, slate_UK: np.ndarray, explored: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Allocation:
    """Joins the optimised slates and the exploration contacts (user position, action, propensity), in dataset order."""
    problem, data = users.problem, users.data
    whole_UK = slate_UK.copy()
    user_E, action_E, chance_E = explored
    whole_UK[user_E, 0] = action_E
    margin_UK, instead_UK = explain_contacts(users, price_R, whole_UK)
    user_N, k_N = np.nonzero(whole_UK >= 0)
    action_N = whole_UK[user_N, k_N].astype(np.int64)
    order = np.lexsort((action_N, user_N))
    user_N, k_N, action_N = user_N[order], k_N[order], action_N[order]
    propensity_U = np.ones(len(data))
    propensity_U[user_E] = chance_E
    explores_U = np.zeros(len(data), bool)
    explores_U[user_E] = True
    contacts = Contacts(user_N, action_N, contact_values(problem, data, user_N, action_N), explores_U[user_N])
    return Allocation(contacts, margin_UK[user_N, k_N], instead_UK[user_N, k_N].astype(np.int64), propensity_U[user_N])


def write_rows(path: Path, problem: Problem, data: Data, allocation: Allocation) -> None:
    """Writes `part-*.parquet` into an existing directory, also where there is not a single contact."""
    ids = np.array([*problem.catalogue.ids, None], dtype=object)
    slots = np.array(problem.catalogue.slots, dtype=object)
    total = len(allocation)
    for part, first in enumerate(range(0, max(total, 1), ROWS_PER_FILE)):
        rows = slice(first, min(first + ROWS_PER_FILE, total))
        action = allocation.contacts.action_N[rows]
        explores = allocation.contacts.explores_N[rows].astype(np.int64)
        table = pa.table(
            {
                "user_id": _ids(data.user_id[allocation.contacts.user_N[rows]]),
                "action": _words(ids[:-1], action),
                "slot": _words(slots, action),
                "value": allocation.contacts.value_N[rows],
                "margin": allocation.margin_N[rows],
                "runner_up": _words(ids, allocation.runner_up_N[rows] % len(ids)),
                "source": _words(np.array(["optimised", "exploration"], dtype=object), explores),
                "propensity": allocation.propensity_N[rows],
            }
        )
        pq.write_table(table, path / f"part-{part:05d}.parquet", compression="zstd")


def _ids(user_N: np.ndarray) -> pa.Array:
    return pa.array(user_N, pa.int64() if user_N.dtype.kind == "i" else pa.string())


def _words(words: np.ndarray, position_N: np.ndarray) -> pa.Array:
    return pa.array(words.tolist(), pa.string()).take(pa.array(position_N))


def metric_totals(scores: Scores, problem: Problem, data: Data, contacts: Contacts) -> dict[str, float]:
    """The sum of every metric's mean over the contacts; metrics the policy does not use are read from the scores again."""
    totals: dict[str, float] = {}
    for position, (kind, metric) in enumerate(problem.planes):
        if kind == "mean":
            totals[metric] = float(data.planes_UPA[contacts.user_N, position, contacts.action_N].sum(dtype=np.float64))
    others = [metric.name for metric in scores.catalogue.metrics if metric.name not in totals]
    totals |= dict.fromkeys(others, 0.0)
    for shard in scores.shards(check=False, metrics=others) if others else ():
        first, last = np.searchsorted(contacts.user_N, [shard.start, shard.start + len(shard)])
        user_n, action_n = contacts.user_N[first:last] - shard.start, contacts.action_N[first:last]
        for metric in others:
            totals[metric] += float(shard.mean[metric][user_n, action_n].sum(dtype=np.float64))
    return totals


def price_book(problem: Problem, price_R: np.ndarray) -> dict:
    """`prices.json`: the multiplier of every side of every enforced constraint, which explains decisions and starts next week."""
    rows = problem.rows
    return {
        "as_of": None if problem.catalogue.as_of is None else problem.catalogue.as_of.isoformat(),
        "policy_digest": problem.policy.digest,
        "rows": [
            {
                "constraint": problem.measured[constraint].rule.id,
                "side": "max" if sign > 0 else "min",
                "multiplier": float(price),
            }
            for constraint, sign, price in zip(rows.constraint_R, rows.sign_R, price_R, strict=True)
        ],
    }


def read_price_book(allocation: Path) -> Mapping[tuple[str, str], float]:
    """(constraint id, side) -> multiplier of an earlier allocation, to start from."""
    path = allocation / "prices.json"
    try:
        rows = json.loads(path.read_text())["rows"]
        return {(str(row["constraint"]), str(row["side"])): max(float(row["multiplier"]), 0.0) for row in rows}
    except FileNotFoundError:
        raise InputError([f"{path}: there is no such file; previous= names an earlier allocation"]) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError([f"{path}: is not a price book ({type(error).__name__})"]) from None
