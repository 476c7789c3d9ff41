"""What exploration buys: strategies that learn from their own decisions alone, week after week, on a market that stays and on one that
changes.

The market has one of its slots, answers within a week and twice as strongly, for with so few listeners the small holdout would leave
open whether contacts are worth anything; all else about it stands in conf/data/. Four weeks are decided by hand, as its logs always are;
from then on each strategy decides and learns by itself. Where the market changes, a product arrives in the third week, and in the fifth
the effect of one product falls and that of another rises. Worth is the policy's objective without its rules: each listener gets the one
contact that is believed to be worth most, or nothing.

Axes: A actions.
"""

import time
from datetime import timedelta
from pathlib import Path

import numpy as np

from allocator.policy.grammar import Policy
from allocator.policy.reader import read_policy
from ranker.catalogue import Catalogue, Metric
from ranker.evaluate import closed_loop
from ranker.evaluate.closed_loop import EXPLOIT, ORACLE, RANDOM, JudgedWeek, Learning, Scenario, Strategy
from ranker.market import catalogue, week
from ranker.market.settings import MarketSettings
from scripts.bench.ranker_figures import Looped
from scripts.cli.settings import Settings

USERS = 10_000
STRENGTH = 4.0
SLOTS = ("home_1",)
BY_HAND, WEEKS = 4, 10
SHARE, HOLDOUT = 0.03, 0.02
MARKETS = STAYS, CHANGES = "stays", "changes"
ARRIVES, ARRIVAL = "premium_family", 2
DRIFT, FALLS, RISES = 4, ("subs", "premium_individual", -0.1), ("purchase", "audiobooks", 0.35)
RARELY = 0.005  # share of listeners: what is shown to fewer is avoided
FAST = {"max_epochs": 1, "test_share": 0.0}
MEMBERS = 2
STRATEGIES = (
    EXPLOIT,
    Strategy("3 % evenly", SHARE),
    Strategy("3 % Thompson", SHARE, closed_loop.thompson),
    Strategy("30 % evenly", 10 * SHARE),  # what 3 % of ten times the listeners would find out
    RANDOM,
    ORACLE,
)


def run(settings: Settings, users: int, seed: int, name: str, weeks: int = WEEKS) -> list[Looped]:
    """Every strategy on one market."""
    played = scenario(settings.data, users, name, weeks)
    learning = Learning(
        model=settings.model.model_copy(update={"members": MEMBERS}),
        fit=settings.fit.model_copy(update=FAST),
        worth=worth(settings, played.weeks[0].catalogue),
        seed=seed,
    )
    found: dict[str, list[JudgedWeek]] = {strategy.name: [] for strategy in STRATEGIES}
    seconds, started = dict.fromkeys(found, 0.0), time.perf_counter()
    for judged in closed_loop.run(played, STRATEGIES, learning):
        found[judged.strategy].append(judged)
        seconds[judged.strategy] += time.perf_counter() - started
        started = time.perf_counter()
    avoided_A = np.mean([judged.shown_A for judged in found[EXPLOIT.name]], axis=0) < RARELY
    return [
        Looped(
            market=name,
            users=users,
            seed=seed,
            strategy=strategy,
            value=[judged.value for judged in judgements],
            exploiting=[judged.exploiting for judged in judgements],
            best=[judged.best for judged in judgements],
            error=[_error(judged, avoided_A) for judged in judgements],
            seconds=seconds[strategy],
        )
        for strategy, judgements in found.items()
    ]


def _error(judged: JudgedWeek, avoided_A: np.ndarray) -> float:
    """Root of the mean square, over the avoided actions, of what is wrong about their average worth."""
    wrong_A = (judged.believed_A - judged.true_A)[avoided_A]
    return float(np.sqrt((wrong_A**2).mean())) if len(wrong_A) else 0.0


def scenario(data: MarketSettings, users: int, name: str, weeks: int) -> Scenario:
    """The market of every week. The holdout is the loop's own once decisions are."""
    changed = {
        "users": users,
        "slots": tuple(slot for slot in data.slots if slot.name in SLOTS),
        "snapshot": data.snapshot + timedelta(weeks=weeks),
        "effects": data.effects.model_copy(update={"strength": STRENGTH}),
    }
    by_hand = closed_loop.prompt(data.model_copy(update=changed))
    own = by_hand.model_copy(update={"logging": by_hand.logging.model_copy(update={"holdout": HOLDOUT})})
    hand, before, after = (week.build(each) for each in (by_hand, own, drifted(own)))
    changes = name == CHANGES
    none, absent = frozenset(), frozenset({ARRIVES})
    return Scenario(
        name=name,
        by_hand=BY_HAND,
        weeks=[hand] * BY_HAND + [after if changes and number >= DRIFT else before for number in range(weeks)],
        absent=[absent if changes and number < BY_HAND + ARRIVAL else none for number in range(BY_HAND + weeks)],
    )


def drifted(data: MarketSettings) -> MarketSettings:
    """One product's effect falls, another's rises."""
    responses = dict(data.effects.responses)
    for link, product, effect in (FALLS, RISES):
        response = responses[link]
        responses[link] = response.model_copy(update={"products": {**response.products, product: effect}})
    return data.model_copy(update={"effects": data.effects.model_copy(update={"responses": responses})})


def worth(settings: Settings, actions: Catalogue) -> dict[str, np.ndarray]:
    """By outcome the weight of the policy's objective for each action."""
    worth_A: dict[str, np.ndarray] = {}
    for term in _policy(settings.weekly.policy, settings.data).objective:
        times_A = np.ones(len(actions.actions)) if term.times is None else actions.numbers(term.times)
        worth_A[term.metric] = worth_A.get(term.metric, 0.0) + term.weight * times_A
    return worth_A


def _policy(path: Path, data: MarketSettings) -> Policy:
    """Read against the whole market, whose offers and listeners its rules name."""
    who = data.population
    segments = {"market": frozenset(who.markets), "lifecycle": frozenset(who.lifecycles)}
    metrics = [Metric(outcome.name, outcome.unit) for outcome in data.outcomes]
    head = catalogue.build(data).with_scores(metrics, sorted(segments), "", data.snapshot)
    return read_policy(path, {}, head, segments)
