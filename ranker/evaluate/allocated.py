"""The off-policy value of an allocation, from logs of the same users under a known policy.

Axes: R rows of the held-out logs, A actions, B = A + 1 arms, the last one `none`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.columns import as_ids, as_text, frequent, is_id, is_text, value_problems
from ranker.evaluate import off_policy
from ranker.evaluate.off_policy import Decisions, Estimate
from ranker.files import InputError, batches, parquet_files, parquet_schema
from ranker.logs import ROWS_PER_BATCH, Logs
from ranker.model.slates import draw


@dataclass(frozen=True)
class AllocationVerdict:
    """Of one outcome and estimator, per user: the allocation, a fixed action for all, and differences to that, to
    nothing for all, and to as many contacts of each action given to users at random."""

    outcome: str
    estimator: str
    value: Estimate
    fixed: Estimate
    against_fixed: Estimate
    against_none: Estimate
    against_random: Estimate


def read_allocation(path: Path) -> pd.DataFrame:
    """user_id and action of every contact of an allocation directory."""
    files = parquet_files(path)
    if not files:
        raise InputError([f"{path}: there are no *.parquet files of an allocation"])
    problems = []
    for file in files:
        problems += list(_column_problems(file)) or value_problems(file, ["user_id"])
    if problems:
        raise InputError(problems)
    parts = [
        pd.DataFrame(
            {
                "user_id": as_ids(batch.column("user_id")).to_pandas(),
                "action": as_text(batch.column("action")).to_pandas(),
            }
        )
        for file in files
        for batch in batches(file, ROWS_PER_BATCH, ["user_id", "action"])
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"user_id": [], "action": []})


def _column_problems(file: Path) -> Iterator[str]:
    schema = parquet_schema(file)
    for name, fits in (("user_id", is_id), ("action", is_text)):
        if name not in schema.names:
            yield f"{file}: column {name}: is missing"
        elif not fits(schema.field(name).type):
            yield f"{file}: column {name}: has type {schema.field(name).type}, as no allocation has it"


def best_in_logs(logs: Logs) -> str:
    """The action with the highest mean of the first outcome in the logs: what a single campaign for all would send."""
    first = logs.schema.outcomes[0].name
    shown = logs.frame[logs.frame["action"] != logs.schema.none]
    return str(shown.groupby("action")[first].mean().idxmax())


def judge_allocation(
    allocation: pd.DataFrame, logs: Logs, fixed: str, expected: Mapping[str, np.ndarray] | None = None
) -> list[AllocationVerdict]:
    """Judges one contact per user, at most, on the logs of the same users.

    fixed: the action that everyone gets in the policy to compare with. expected: outcome -> [R, B], the model of the doubly
    robust estimator, from users other than those of the logs; without it the arm's mean. Raises InputError where a user has two
    contacts or an action is unknown.
    """
    ids = [str(action["id"]) for action in logs.actions]
    arm_R = _arms(allocation, logs, ids)
    decisions = _decisions(logs, ids)
    actions = len(ids)
    policy_RB = np.eye(actions + 1, dtype=np.float32)[arm_R]
    everyone_RA = np.ones((len(logs), actions), bool)
    others = (
        off_policy.always(ids.index(fixed), everyone_RA),
        off_policy.always(actions, everyone_RA),
        np.broadcast_to(policy_RB.mean(0), policy_RB.shape),
    )
    verdicts = []
    for outcome in logs.schema.outcomes:
        y_R = logs.frame[outcome.name].to_numpy(np.float64)
        model_RB = _arm_means(decisions, y_R) if expected is None else expected[outcome.name]
        own, one, none, random = (off_policy.judge(decisions, policy, y_R, model_RB) for policy in (policy_RB, *others))
        verdicts += [
            AllocationVerdict(
                outcome=outcome.name,
                estimator=estimator,
                value=own[estimator].estimate,
                fixed=one[estimator].estimate,
                against_fixed=off_policy.difference(own[estimator], one[estimator], decisions.user_R),
                against_none=off_policy.difference(own[estimator], none[estimator], decisions.user_R),
                against_random=off_policy.difference(own[estimator], random[estimator], decisions.user_R),
            )
            for estimator in off_policy.ESTIMATORS
        ]
    return verdicts


def _arms(allocation: pd.DataFrame, logs: Logs, ids: Sequence[str]) -> np.ndarray:
    """int64[R]: the arm that the allocation gives to the user of each row."""
    problems = []
    if logs.tells_slates and draw(logs) is not None:
        problems.append("logs: have contacts that were decided together; judged are trials of one contact a decision")
    repeated = int(allocation["user_id"].duplicated().sum())
    if repeated:
        problems.append(
            f"allocation: {repeated:,} users have more than one contact; a trial of one e-mail can judge only one"
        )
    names = allocation["action"].astype(str)
    unknown = names[~names.isin(list(ids))].value_counts().to_dict()
    if unknown:
        told = f"{sum(unknown.values()):,} of {len(names):,} rows name an action that the logs do not have"
        problems.append(f"allocation: {told}{frequent(unknown, len(names))}")
    strange = int((~allocation["user_id"].isin(logs.frame["user_id"])).sum())
    if strange:
        problems.append(f"allocation: {strange:,} users are not in the logs to judge by")
    if problems:
        raise InputError(problems)
    given = pd.Series(pd.Index(ids).get_indexer(allocation["action"].astype(str)), index=allocation["user_id"])
    return logs.frame["user_id"].map(given).fillna(len(ids)).to_numpy(np.int64)


def _decisions(logs: Logs, ids: Sequence[str]) -> Decisions:
    frame = logs.frame
    return Decisions(
        arm_R=pd.Index([*ids, logs.schema.none]).get_indexer(frame["action"].astype(str)).astype(np.int64),
        propensity_R=frame["propensity"].to_numpy(np.float64),
        user_R=pd.factorize(frame["user_id"])[0].astype(np.int64),
        eligible_RB=np.ones((len(frame), len(ids) + 1), bool),
    )


def _arm_means(decisions: Decisions, y_R: np.ndarray) -> np.ndarray:
    arms = decisions.eligible_RB.shape[1]
    count_B = np.maximum(np.bincount(decisions.arm_R, minlength=arms), 1)
    return np.broadcast_to(np.bincount(decisions.arm_R, y_R, minlength=arms) / count_B, (len(y_R), arms))
