"""Who of the scores' users was held out, explored on or chosen for, and what they were given and promised.

Axes: U users of the scores, A actions, N contacts, K contacts of a slate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from allocator.assign.preassigned import preassign
from allocator.formats import read_price_book
from allocator.policy.experiment import exploring, held_out
from allocator.problem import build_problem
from allocator.solve.dual import Users, evaluate_dual
from allocator.solve.solver import start_prices
from allocator.users import FREE, PINNED, load_data
from ranker.columns import value_problems
from ranker.evaluate.allocated import read_allocation
from ranker.files import InputError, batches, parquet_files, parquet_schema
from ranker.log_schema import SCHEMA_FILE
from ranker.tables.check import ROWS_AT_ONCE, as_frame, type_problems
from ranker.tables.schema import read_table_schema
from scripts.judging.readout_sources import ReadoutSources

HELD, EXPLORING, CHOSEN = "holdout", "exploring", "chosen"
UNRECORDED = ""


@dataclass(frozen=True)
class GivenInWeek:
    """Per user of the scores: id, group and segments, what was promised by metric, and the number of contacts. slate_UK: the
    contacts that the prices would give to anybody, held out or not, -1 for none; None where that cannot be told."""

    user_id: np.ndarray
    group_U: np.ndarray
    segment: Mapping[str, np.ndarray]
    promised: Mapping[str, np.ndarray]
    contacts_U: np.ndarray
    slate_UK: np.ndarray | None

    def take(self, known_U: np.ndarray) -> "GivenInWeek":
        return GivenInWeek(
            self.user_id[known_U],
            self.group_U[known_U],
            {name: values_U[known_U] for name, values_U in self.segment.items()},
            {name: values_U[known_U] for name, values_U in self.promised.items()},
            self.contacts_U[known_U],
            None if self.slate_UK is None else self.slate_UK[known_U],
        )


def given_of(allocation: Path, sources: ReadoutSources) -> GivenInWeek:
    """Who was in which group, who was given what, and what was promised of it, in one stream over the scores."""
    scores, policy = sources.scores, sources.policy
    contacts = read_allocation(allocation)
    ids = {name: position for position, name in enumerate(scores.catalogue.ids)}
    if unknown := int((~contacts["action"].isin(list(ids))).sum()):
        told = f"{unknown:,} of {len(contacts):,} rows name an action that the scores do not have"
        raise InputError([f"{allocation}: column action: {told}"])
    parts: list[dict] = []
    for shard in scores.shards(check=False):
        user_id = shard.user_id.to_numpy(zero_copy_only=False)
        held_U = held_out(policy, shard.user_id)
        explores_U = exploring(policy, shard.user_id, held_U)
        row_N = pd.Index(user_id).get_indexer(contacts["user_id"])
        mine = row_N >= 0
        row_N, action_N = row_N[mine], contacts["action"][mine].map(ids).to_numpy(np.int64)
        parts.append(
            {
                "user_id": user_id,
                "group": np.where(held_U, HELD, np.where(explores_U, EXPLORING, CHOSEN)),
                "contacts": np.bincount(row_N, minlength=len(shard)),
                "segment": {
                    name: np.array(scores.vocabulary[name], object)[codes] for name, codes in shard.segments.items()
                },
                "promised": {
                    name: np.bincount(row_N, mean_UA[row_N, action_N], len(shard))
                    for name, mean_UA in shard.mean.items()
                },
            }
        )

    def joined(pick) -> np.ndarray:
        return np.concatenate([pick(part) for part in parts])

    given = GivenInWeek(
        user_id=joined(lambda part: part["user_id"]),
        group_U=joined(lambda part: part["group"]),
        segment={name: joined(lambda part, name=name: part["segment"][name]) for name in parts[0]["segment"]},
        promised={name: joined(lambda part, name=name: part["promised"][name]) for name in parts[0]["promised"]},
        contacts_U=joined(lambda part: part["contacts"]),
        slate_UK=would_get(allocation, sources),
    )
    wrong = int(given.contacts_U[given.group_U == HELD].sum())
    if wrong:
        raise InputError(
            [f"{allocation}: has {wrong:,} contacts of users whom the policy holds out; it is of another policy"]
        )
    return given


def would_get(allocation: Path, sources: ReadoutSources) -> np.ndarray | None:
    """int16[U, K]: what the price book gives to each user, whatever their group; None where prices alone do not say.

    It depends on nothing that happened after the draw, so users with the same offer in it can be compared across groups.
    """
    policy = sources.policy
    if policy.tiers or policy.compares:
        return None
    problem = build_problem(sources.scores, policy)
    data, _ = preassign(problem, load_data(problem, sources.scores))
    data = replace(data, group_U=np.where(data.group_U == PINNED, PINNED, FREE).astype(np.int8))
    price_R = start_prices(problem, read_price_book(allocation).prices)
    return evaluate_dual(Users.of(problem, data), price_R).slate_UK


def recorded_groups(tables: Path, day: date, user_id: np.ndarray) -> np.ndarray:
    """Per user the group by the `arm` of their exposure on the day: holdout, exploration, or anything else for chosen."""
    shown = _shown_on(tables, day, ("arm",))
    if shown is None:
        raise InputError([f"{tables / 'exposures'}: has no rows of {day}, so who was held out is not recorded"])
    group = shown["arm"].map({"holdout": HELD, "exploration": EXPLORING}).fillna(CHOSEN)
    by_user = pd.Series(group.to_numpy(object), index=shown["user_id"])
    return pd.Series(user_id).map(by_user[~by_user.index.duplicated()]).fillna(UNRECORDED).to_numpy(object)


def exposed_in_holdout(tables: Path, day: date, given: GivenInWeek) -> int | None:
    """Held-out users who were shown something on the day all the same; None where the tables do not say what was shown."""
    shown = _shown_on(tables, day, ())
    if shown is None:
        return None
    none = read_table_schema(tables / SCHEMA_FILE).none
    contacted = shown[shown["action"].notna() & (shown["action"] != none)]
    return int(contacted["user_id"].isin(pd.Index(given.user_id[given.group_U == HELD])).sum())


def _shown_on(tables: Path, day: date, more: tuple[str, ...]) -> pd.DataFrame | None:
    """The exposures of one day, with some columns more; None where there are none."""
    files = parquet_files(tables / "exposures")
    columns = ["user_id", "decided_on", "action", *more]
    wanted = {"user_id": "id", "decided_on": "date", "action": "string", **dict.fromkeys(more, "string")}
    problems = []
    for file in files:
        found = [f"{file}: {problem}" for problem in type_problems(parquet_schema(file), wanted)]
        problems += found or value_problems(file, ["user_id"], ["decided_on"])
    if problems:
        raise InputError(problems)
    if not files:
        return None
    parts = [as_frame(pa.table(batch)) for file in files for batch in batches(file, ROWS_AT_ONCE, columns)]
    if not parts:
        return None
    shown = pd.concat(parts, ignore_index=True)
    on_day = shown[shown["decided_on"] == pd.Timestamp(day)]
    return None if on_day.empty else on_day
