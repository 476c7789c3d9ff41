"""The allocation dataset: a row per contact, written from the solver's slates, with what explains each choice.

Axes: N contacts, n those of a shard, U users, K contacts of a slate.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from allocator.assign.fallback import Fallbacks
from allocator.assign.preassigned import Preassigned
from allocator.assign.propensity import marginal_propensity
from allocator.certify.contacts import SOURCES, Contacts, contact_values
from allocator.formats import PriceBook, PricedSide
from allocator.problem import Problem
from allocator.solve.dual import Users
from allocator.solve.margins import explain_contacts
from allocator.users import NONE, Data
from ranker import disk

ROWS_PER_FILE = 4_000_000
ROWS_PER_GROUP = 1_048_576


@dataclass(frozen=True)
class ContactRows:
    """Contacts in the order of users and slots, each with its margin, runner-up (-1: nothing), and chances: within the arm that was drawn
    (propensity) and over all ways to it (marginal).
    """

    contacts: Contacts
    margin_N: np.ndarray
    runner_up_N: np.ndarray
    propensity_N: np.ndarray
    marginal_N: np.ndarray

    def __len__(self) -> int:
        return len(self.contacts)


def assemble(users: Users, price_R: np.ndarray, preassigned: Preassigned, fallbacks: Fallbacks) -> ContactRows:
    """Joins the optimised slates, the preassigned contacts and the fallbacks, in dataset order."""
    problem, data = users.problem, users.data
    whole_UK = fallbacks.slate_UK.copy()
    preassigned.place(whole_UK)
    actions = len(problem.catalogue.actions)
    whole_UK = np.sort(np.where(whole_UK >= 0, whole_UK, actions).astype(np.int16), axis=1)  # in catalogue order
    whole_UK[whole_UK == actions] = NONE
    margin_UK, instead_UK = explain_contacts(users, price_R, whole_UK)
    taken_UK = whole_UK != NONE
    user_N = np.repeat(np.arange(len(data), dtype=np.int32), taken_UK.sum(axis=1))
    action_N = whole_UK[taken_UK]
    propensity_U = np.ones(len(data))
    propensity_U[preassigned.user_N] = preassigned.propensity_N
    source_U = np.where(fallbacks.fallback_U, np.int8(SOURCES.index("fallback")), np.int8(0))
    source_U[preassigned.user_N] = preassigned.source_N
    contacts = Contacts(user_N, action_N, contact_values(problem, data, user_N, action_N), source_U[user_N])
    marginal_N = marginal_propensity(problem, data, contacts, fallbacks.counterfactual)
    return ContactRows(contacts, margin_UK[taken_UK], instead_UK[taken_UK], propensity_U[user_N], marginal_N)


def write_rows(path: Path, problem: Problem, data: Data, allocation: ContactRows) -> None:
    """Writes `part-*.parquet` into an existing directory, also where there is not a single contact."""
    total, schema = len(allocation), _schema(data)
    for part, first in enumerate(range(0, max(total, 1), ROWS_PER_FILE)):
        last = min(first + ROWS_PER_FILE, total)
        with disk.parquet(path / f"part-{part:05d}.parquet", schema, compression="zstd") as writer:
            for start in range(first, last, ROWS_PER_GROUP):
                rows = slice(start, min(start + ROWS_PER_GROUP, last))
                writer.write_table(pa.table(_columns(problem, data, allocation, rows), schema))


def _schema(data: Data) -> pa.Schema:
    texts = dict.fromkeys(("action", "slot", "runner_up", "source"), pa.string())
    names = ("user_id", "action", "slot", "value", "margin", "runner_up", "source", "propensity", "marginal_propensity")
    types = texts | {"user_id": pa.int64() if data.user_id.dtype.kind == "i" else pa.string()}
    return pa.schema([(name, types.get(name, pa.float64())) for name in names])


def _columns(problem: Problem, data: Data, allocation: ContactRows, rows: slice) -> dict[str, np.ndarray | pa.Array]:
    ids = np.array([*problem.catalogue.ids, None], dtype=object)
    slots = np.array(problem.catalogue.slots, dtype=object)
    action = allocation.contacts.action_N[rows]
    return {
        "user_id": data.user_id[allocation.contacts.user_N[rows]],
        "action": _words(ids[:-1], action),
        "slot": _words(slots, action),
        "value": allocation.contacts.value_N[rows],
        "margin": allocation.margin_N[rows],
        "runner_up": _words(ids, allocation.runner_up_N[rows] % len(ids)),
        "source": _words(np.array(SOURCES, dtype=object), allocation.contacts.source_N[rows]),
        "propensity": allocation.propensity_N[rows],
        "marginal_propensity": allocation.marginal_N[rows],
    }


def _words(words: np.ndarray, position_N: np.ndarray) -> pa.Array:
    return pa.array(words.tolist(), pa.string()).take(pa.array(position_N))


def price_book(problem: Problem, price_R: np.ndarray) -> PriceBook:
    """`prices.json`: the multiplier of every side of every enforced constraint, which explains decisions and starts next week."""
    rows = problem.rows
    return PriceBook(
        as_of=None if problem.catalogue.as_of is None else problem.catalogue.as_of.isoformat(),
        policy_digest=problem.policy.digest,
        rows=tuple(
            PricedSide(
                constraint=problem.measured[constraint].rule.id,
                side="max" if sign > 0 else "min",
                multiplier=float(price),
            )
            for constraint, sign, price in zip(rows.constraint_R, rows.sign_R, price_R, strict=True)
        ),
    )
