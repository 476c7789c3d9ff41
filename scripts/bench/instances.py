"""Seeded allocation problems of five shapes and any size, for benchmarks: scores written in a stream, and a policy over them.

- market: 4 slots x 6 products, 50 constraints of every kind, contact rules that overlap without nesting
- knapsack: 4 slots x 6 offers, one budget, no other rule than one action per slot
- grid: 5 slots x 12 products in 6 markets, a floor and a cap for every product in every market, budgets and ratios
- averages: 4 slots x 6 offers, values that 200 kinds of users have in common, one budget and floors
- whole: the same with whole values from 0 to 3, under which most users tie

A block of users depends on the seed and its position alone, so memory does not grow with users and a prefix stays a prefix.
Axes: U users of a block, A actions, Z markets (zones), G kinds of users.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter

BLOCK = 65_536
MARKETS = ("BR", "DE", "IN", "NO", "SE", "US")
MARKET_SHARES = np.arange(1, 7) / 21.0
ELIGIBLE = 0.7
MOST_KINDS = 200
Rules = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """Where an instance is: `scores` as `allocate` takes them, and `policy`."""

    shape: str
    users: int
    seed: int
    scores: Path
    policy: Path


@dataclass(frozen=True)
class Shape:
    """A family of instances. slots: (id, surface, kind). products: (id, family, discount in EUR).

    effects: draws a block's metrics from its mean log effects [U, A]. policy: the rules for so many users; bounds are drawn.
    eligible: the share of user-action pairs that are.
    """

    slots: Sequence[tuple[str, str, str]]
    products: Sequence[tuple[str, str, float]]
    metrics: tuple[Metric, ...]
    effects: Callable[[np.ndarray, Catalogue, np.random.Generator], Mapping[str, np.ndarray]]
    policy: Callable[[int, np.random.Generator], Rules]
    eligible: float = ELIGIBLE

    @property
    def catalogue(self) -> Catalogue:
        actions = [
            {"id": f"{slot}/{product}", "slot": slot, "surface": surface, "surface_kind": kind}
            | {"product": product, "family": family, "discount_eur": discount}
            for slot, surface, kind in self.slots
            for product, family, discount in self.products
        ]
        return Catalogue(tuple(actions), self.metrics, ("market",), "benchmark", None)


def write_instance(path: Path, shape: str, users: int, seed: int) -> Instance:
    """Writes scores/ and policy.yaml into an existing directory, BLOCK users at a time."""
    scores, drawn = path / "scores", SHAPES[shape]
    scores.mkdir()
    head = drawn.catalogue
    structure = np.random.default_rng([seed, 0])
    market_ZA = structure.normal(0, 0.3, len(head.actions)) + structure.normal(
        0, 0.2, (len(MARKETS), len(head.actions))
    )
    taste_FA = structure.normal(0, 0.4, (4, len(head.actions)))
    with ScoresWriter(scores, head) as writer:
        for position, first in enumerate(range(0, users, BLOCK)):
            generator = np.random.default_rng([seed, 1, position])
            market_U = generator.choice(len(MARKETS), BLOCK, p=MARKET_SHARES)
            taste_UF = generator.standard_normal((BLOCK, 4), np.float32)
            log_UA = (market_ZA.astype(np.float32)[market_U]) + taste_UF @ taste_FA.astype(np.float32)
            means = drawn.effects(log_UA, head, generator)
            eligible_UA = generator.random(log_UA.shape, np.float32) < drawn.eligible
            count = min(BLOCK, users - first)
            writer.write(
                pa.array(np.arange(first, first + count)),
                {"market": pa.array(np.array(MARKETS)[market_U[:count]])},
                {name: mean_UA[:count] for name, mean_UA in means.items()},
                None,
                eligible_UA[:count],
            )
    policy = path / "policy.yaml"
    policy.write_text(_yaml(drawn.policy(users, np.random.default_rng([seed, 2]))))
    return Instance(shape, users, seed, scores, policy)


def _yaml(rules: Rules) -> str:
    """YAML with a line per rule; what JSON writes is YAML 1.2 too."""
    lines = ["version: 1"]
    for part, entries in rules.items():
        lines += [f"{part}:", *(f"  - {json.dumps(entry)}" for entry in entries)]
    return "\n".join(lines) + "\n"


def _offers(log_UA: np.ndarray, head: Catalogue, generator: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Subscriptions, the revenue that follows them less a small cost of showing, and opt-outs, four times as many by push."""

    def noise() -> np.ndarray:
        return 0.3 * generator.standard_normal(log_UA.shape, np.float32)

    push_A = np.array([4.0 if action["surface"] == "push" else 1.0 for action in head.actions], np.float32)
    subs_UA = np.float32(0.004) * np.exp(log_UA + noise())
    shown_UA = np.float32(0.02) * generator.random(log_UA.shape, np.float32)
    return {
        "subs": subs_UA,
        "revenue": np.float32(30) * subs_UA * np.exp(noise()) - shown_UA,
        "opt_out": np.float32(0.001) * push_A * generator.random(log_UA.shape, np.float32),
    }


def _gains(log_UA: np.ndarray, head: Catalogue, generator: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Gains, and costs that are related to them."""
    cost_UA = np.exp(np.float32(0.5) * log_UA + np.float32(0.5) * generator.standard_normal(log_UA.shape, np.float32))
    return {"gain": np.float32(2) * np.exp(log_UA), "cost": cost_UA}


def _averages(log_UA: np.ndarray, head: Catalogue, generator: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Gains and costs of kinds of users, the same in every block."""
    kinds, kind_U = np.random.default_rng(0), generator.integers(MOST_KINDS, size=len(log_UA))
    gain_GA, cost_GA = (np.exp(0.5 * kinds.standard_normal((MOST_KINDS, log_UA.shape[1]))) for _ in range(2))
    return {"gain": gain_GA.astype(np.float32)[kind_U], "cost": cost_GA.astype(np.float32)[kind_U]}


def _whole(log_UA: np.ndarray, head: Catalogue, generator: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Gains from 0 to 3, costs from 0 to 5."""
    gain_UA, cost_UA = (generator.integers(most + 1, size=log_UA.shape).astype(np.float32) for most in (3, 5))
    return {"gain": gain_UA, "cost": cost_UA}


def _between(generator: np.random.Generator, low: float, high: float) -> float:
    return round(float(generator.uniform(low, high)), 4)


def _percent(generator: np.random.Generator, low: int, high: int) -> str:
    return f"{generator.integers(low, high + 1)}%"


def _product_goals(
    products: Sequence[tuple[str, str, float]], floor: tuple[int, int], cap: tuple[int, int], draw: np.random.Generator
) -> list[Rules]:
    """A floor and a cap for every product in every market."""
    return [
        {"id": f"{product}_{market}", "kind": "volume", "where": {"product": product}, "users": {"market": market}}
        | {"min": _percent(draw, *floor), "max": _percent(draw, *cap)}
        for product, *_ in products
        for market in MARKETS
    ]


OFFER_VALUE = [
    {"metric": "revenue", "weight": 1.0},
    {"metric": "subs", "weight": 12.0},
    {"metric": "opt_out", "weight": -25.0},
]
SPENT = {"metric": "subs", "times": "discount_eur"}


def _market_policy(users: int, draw: np.random.Generator) -> Rules:
    push, home = {"surface": "push"}, {"surface": "home"}
    plans, discovery = {"family": "plan"}, {"surface_kind": "discovery"}
    budget = users * _between(draw, 0.015, 0.025)
    constraints = [
        {"id": "push_capacity", "kind": "volume", "where": push, "max": _percent(draw, 15, 30)},
        {"id": "books_north", "kind": "volume", "where": {"product": "books"}, "users": {"market": ["NO", "SE"]}}
        | {"min": _percent(draw, 6, 12)},
        *_product_goals(MARKET_PRODUCTS, (2, 5), (15, 40), draw),
        {"id": "discount_budget", "kind": "total", **SPENT, "max": round(budget, 6)},
        {"id": "discount_DE", "kind": "total", **SPENT, "users": {"market": "DE"}, "max": round(budget / 9, 6)},
        {"id": "subs_goal", "kind": "total", "metric": "subs", "min": round(users * 0.003, 6)},
        {"id": "opt_outs", "kind": "total", "metric": "opt_out", "max": round(users * _between(draw, 7e-4, 12e-4), 6)},
        {"id": "plan_share", "kind": "share", "where": plans, "of": discovery, "min": _between(draw, 0.2, 0.4)}
        | {"max": _between(draw, 0.5, 0.75)},
        {"id": "home_share", "kind": "share", "where": {"product": ["hifi", "merch"]}, "of": home}
        | {"max": _between(draw, 0.3, 0.5)},
        {"id": "push_share", "kind": "share", "where": push, "of": {"product": "duo"}, "max": _between(draw, 0.2, 0.5)},
        {"id": "opt_out_rate", "kind": "average", "metric": "opt_out", "max": _between(draw, 5e-4, 7e-4)},
        {"id": "push_opt_outs", "kind": "average", "metric": "opt_out", "where": push}
        | {"max": _between(draw, 15e-4, 20e-4)},
        {"id": "push_subs", "kind": "average", "metric": "subs", "where": push, "min": _between(draw, 0.005, 0.008)},
        {"id": "roi", "kind": "ratio", "metric": "revenue", "per": SPENT, "min": _between(draw, 4.5, 5.5)},
        {"id": "roi_plans", "kind": "ratio", "metric": "revenue", "where": plans, "per": SPENT}
        | {"min": _between(draw, 2.0, 3.0)},
    ]
    contact = [
        {"id": "total", "max": 2},
        {"id": "one_home", "max": 1, "where": home},
        {"id": "one_plan", "max": 1, "where": plans},
        {"id": "once_each", "max": 1, "each": "product"},
    ]
    return {"objective": OFFER_VALUE, "contact": contact, "constraints": constraints}


def _knapsack_policy(users: int, draw: np.random.Generator) -> Rules:
    budget = {"id": "budget", "kind": "total", "metric": "cost", "max": round(users * _between(draw, 0.6, 1.6), 6)}
    return {"objective": [{"metric": "gain", "weight": 1.0}], "constraints": [budget]}


def _tied_policy(users: int, draw: np.random.Generator) -> Rules:
    floors = [
        {"id": f"{name}_goal", "kind": "volume", "where": {"product": name}, "min": _percent(draw, 40, 60)}
        for name in ("duo", "books", "merch")
    ]
    cap = {"id": "hifi_cap", "kind": "volume", "where": {"product": "hifi"}, "max": _percent(draw, 5, 15)}
    rules = _knapsack_policy(users, draw)
    return {**rules, "constraints": [*floors, cap, {**rules["constraints"][0], "max": 2 * users}]}


def _grid_policy(users: int, draw: np.random.Generator) -> Rules:
    budget = users * _between(draw, 0.03, 0.05)
    shares = dict(zip(MARKETS, MARKET_SHARES, strict=True))
    constraints = [
        *_product_goals(GRID_PRODUCTS, (2, 6), (10, 35), draw),
        *(
            {"id": f"discount_{market}", "kind": "total", **SPENT, "users": {"market": market}}
            | {"max": round(budget * float(share), 6)}
            for market, share in shares.items()
        ),
        {"id": "push_capacity", "kind": "volume", "where": {"surface": "push"}, "max": _percent(draw, 20, 40)},
        {"id": "mail_capacity", "kind": "volume", "where": {"surface": "mail"}, "max": _percent(draw, 30, 60)},
        {"id": "plan_share", "kind": "share", "where": {"family": "plan"}, "of": {"surface": "home"}}
        | {"min": _between(draw, 0.2, 0.35), "max": _between(draw, 0.45, 0.65)},
        {"id": "opt_out_rate", "kind": "average", "metric": "opt_out", "max": _between(draw, 5e-4, 7e-4)},
        {"id": "roi", "kind": "ratio", "metric": "revenue", "per": SPENT, "min": _between(draw, 4.5, 5.5)},
    ]
    contact = [{"id": "total", "max": 3}, {"id": "once_each", "max": 1, "each": "product"}]
    return {"objective": OFFER_VALUE, "contact": contact, "constraints": constraints}


MARKET_SLOTS = (
    ("home_1", "home", "discovery"),
    ("home_2", "home", "discovery"),
    ("push_1", "push", "messaging"),
    ("picker_1", "picker", "consideration"),
)
MARKET_PRODUCTS = (
    ("duo", "plan", 6.0),
    ("family", "plan", 9.0),
    ("student", "plan", 4.0),
    ("books", "other", 0.0),
    ("hifi", "other", 0.0),
    ("merch", "other", 0.0),
)
GRID_SLOTS = (*MARKET_SLOTS, ("mail_1", "mail", "messaging"))
GRID_PRODUCTS = (
    *((f"plan_{number}", "plan", 3.0 + number) for number in range(6)),
    *((f"extra_{number}", "other", 0.0) for number in range(6)),
)
OFFER_METRICS = (Metric("subs", "subscribers"), Metric("revenue", "EUR"), Metric("opt_out", "opt-outs"))
GAIN_METRICS = (Metric("gain", "EUR"), Metric("cost", "EUR"))
SHAPES: Mapping[str, Shape] = {
    "market": Shape(MARKET_SLOTS, MARKET_PRODUCTS, OFFER_METRICS, _offers, _market_policy),
    "knapsack": Shape(MARKET_SLOTS, MARKET_PRODUCTS, GAIN_METRICS, _gains, _knapsack_policy),
    "grid": Shape(GRID_SLOTS, GRID_PRODUCTS, OFFER_METRICS, _offers, _grid_policy),
    "averages": Shape(MARKET_SLOTS, MARKET_PRODUCTS, GAIN_METRICS, _averages, _tied_policy, eligible=1.0),
    "whole": Shape(MARKET_SLOTS, MARKET_PRODUCTS, GAIN_METRICS, _whole, _tied_policy),
}
