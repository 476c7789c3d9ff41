"""Small worlds whose truth is known: users, a logging policy, and what every action does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.log_schema import LogSchema, Outcome
from ranker.logs import Logs

SURFACES, PRODUCTS = ("home", "push"), ("books", "family", "student")
ACTIONS = tuple(
    {"id": f"{surface}/{product}", "slot": f"{surface}_1", "surface": surface, "product": product}
    for surface in SURFACES
    for product in PRODUCTS
)
SCHEMA = LogSchema(
    numeric=("age", "streams"),
    categorical=("market",),
    outcomes=(
        Outcome("subs", "binary", "subscribers"),
        Outcome("days", "count", "days"),
        Outcome("revenue", "amount", "EUR"),
    ),
    none="none",
)


@dataclass(frozen=True)
class World:
    """logs, and truth: outcome -> expected effect float64[R, A] of every action on every row; none: without contact [R]."""

    logs: Logs
    effect: dict[str, np.ndarray]
    none: dict[str, np.ndarray]


def make_world(rows: int, generator: np.random.Generator, *, average: float = 1.0, varying: float = 1.0) -> World:
    """Effects average * (per action) + varying * (by age); a softmax logging policy that depends on age."""
    actions = len(ACTIONS)
    age_R, streams_R = generator.normal(size=rows), generator.lognormal(sigma=1.0, size=rows)
    market_R = generator.choice(["SE", "DE", "BR"], size=rows)
    main_A = average * np.array([0.2, 0.5, -0.2, 0.5, 0.9, 0.1])
    lean_A = varying * np.array([0.6, 0.0, -0.6, 0.6, 0.0, -0.6])
    link_RA = main_A + age_R[:, None] * lean_A
    base_R = -1.5 + 0.4 * age_R + 0.3 * (market_R == "SE")
    subs_RA, none_subs_R = _sigmoid(base_R[:, None] + link_RA), _sigmoid(base_R)
    days_RA, none_days_R = np.exp(1 + base_R[:, None] / 4 + link_RA / 4), np.exp(1 + base_R / 4)
    logit_RB = np.column_stack([0.5 * age_R[:, None] * np.linspace(-1, 1, actions), np.ones(rows)])
    policy_RB = np.exp(logit_RB) / np.exp(logit_RB).sum(1, keepdims=True)
    arm_R = (generator.random(rows)[:, None] > policy_RB.cumsum(1)).sum(1).clip(max=actions)
    at = np.arange(rows), arm_R
    subs_R = generator.random(rows) < np.column_stack([subs_RA, none_subs_R])[at]
    days_R = generator.poisson(np.column_stack([days_RA, none_days_R])[at])
    revenue_R = subs_R * generator.lognormal(2.0, 0.5, size=rows)
    frame = pd.DataFrame(
        {
            "user_id": np.arange(rows) // 2,
            "as_of": pd.Timestamp("2026-11-16"),
            "action": np.array([*(action["id"] for action in ACTIONS), "none"], dtype=object)[arm_R],
            "propensity": policy_RB[at],
            "age": age_R.astype("float32"),
            "streams": streams_R.astype("float32"),
            "market": market_R,
            "subs": subs_R.astype(float),
            "days": days_R.astype(float),
            "revenue": revenue_R,
        }
    )
    per_sub = float(np.exp(2.0 + 0.125))
    effect = {"subs": subs_RA - none_subs_R[:, None], "days": days_RA - none_days_R[:, None]}
    none = {"subs": none_subs_R, "days": none_days_R}
    effect["revenue"], none["revenue"] = effect["subs"] * per_sub, none["subs"] * per_sub
    return World(Logs(SCHEMA, ACTIONS, frame, None), effect, none)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
