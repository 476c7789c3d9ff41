"""A closed loop on the market: models that learn from their own decisions; the cost and the value of exploration.

All strategies share the weeks of the logging policy, the listeners and the random draws. After these weeks each learns
from its own logs alone. Every week a strategy is trained on all that is known by then, decides for all listeners
outside the holdout, and is judged by the true expectations. A week's model comes from `learn`, its propensities from
`Strategy.chances`. Another decider of a week, such as a gate or a pipeline of commands, replaces these two.

Axes: U users (listeners), A actions, B = A + 1 arms (none last).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from ranker.columns import as_flags
from ranker.evaluate.off_policy import greedy, uniform
from ranker.logs import Logs, eligible_of
from ranker.market import answers, listeners, week, world
from ranker.market.decisions import ActionDistribution
from ranker.market.settings import MarketSettings
from ranker.model.ensemble import ValueModel
from ranker.model.settings import FitSettings, ModelSettings
from ranker.model.train import train
from ranker.tables.check import as_frame
from ranker.tables.join import UserTables, join

DRAWS = 100
PEOPLE, DICE, THOMPSON = 0, 1, 2  # what generators are spawned for


@dataclass(frozen=True)
class Belief:
    """What a contact is thought to be worth, over nothing: value_UA, its standard error, and which contacts may be made."""

    value_UA: np.ndarray
    stderr_UA: np.ndarray
    eligible_UA: np.ndarray


Explore = Callable[[Belief, np.random.Generator], np.ndarray]  # float[U, B]: chances of an exploring decision


def evenly(belief: Belief, rng: np.random.Generator) -> np.ndarray:
    return uniform(belief.eligible_UA).astype(np.float64)


def thompson(belief: Belief, rng: np.random.Generator) -> np.ndarray:
    """Every value drawn from its own normal law, the best one chosen (Thompson 1933). DRAWS of them are made for each listener, and the
    decision is one of those, evenly: their shares are its exact chances, with nothing left to estimate."""
    rows_U = np.arange(len(belief.value_UA))
    chance_UB = np.zeros((len(rows_U), belief.value_UA.shape[1] + 1))
    for _ in range(DRAWS):
        drawn_UA = belief.value_UA + belief.stderr_UA * rng.standard_normal(belief.value_UA.shape, np.float32)
        chance_UB[rows_U, greedy(drawn_UA, belief.eligible_UA).argmax(1)] += 1 / DRAWS
    return chance_UB


@dataclass(frozen=True)
class Strategy:
    """A `share` of decisions explores, the others take what is thought best. learns: from its logs; else it is told the truth."""

    name: str
    share: float = 0.0
    explore: Explore = evenly
    learns: bool = True

    def chances(self, belief: Belief, rng: np.random.Generator) -> ActionDistribution:
        """Of every arm outside the holdout: an arm can be the best and be drawn too, and its chance is that of both ways together."""
        best_UB = greedy(belief.value_UA, belief.eligible_UA).astype(np.float64)
        explored_UB = self.share * self.explore(belief, rng) if self.share > 0 else np.zeros_like(best_UB)
        return ActionDistribution((1 - self.share) * best_UB + explored_UB, explored_UB)


EXPLOIT, ORACLE = Strategy("exploit only"), Strategy("oracle", learns=False)
RANDOM = Strategy("random", 1.0, learns=False)


@dataclass(frozen=True)
class Scenario:
    """The market of every week, the first `by_hand` of which make the logs to start from; absent: products not yet in the catalogue."""

    name: str
    by_hand: int
    weeks: Sequence[week.Market]
    absent: Sequence[frozenset[str]]

    def standing(self, number: int, people: listeners.Listeners, moment: listeners.Moment) -> week.MarketState:
        here = week.standing(self.weeks[number], people, moment)
        absent_A = np.array([a["product"] in self.absent[number] for a in self.weeks[number].catalogue.actions])
        return replace(here, eligible_UA=here.eligible_UA & ~absent_A)

    def day(self, number: int) -> date:
        """A week apart, the last such that everything about it is known before the snapshot."""
        settings = self.weeks[0].settings
        return settings.snapshot - timedelta(weeks=len(self.weeks) - number)


@dataclass(frozen=True)
class Learning:
    """How a model is made, and worth_A by outcome: what one unit of an outcome is worth after each action."""

    model: ModelSettings
    fit: FitSettings
    worth: Mapping[str, np.ndarray]
    seed: int


@dataclass(frozen=True)
class JudgedWeek:
    """One week of one strategy, EUR per listener. value: true, of its chances, holdout included. exploiting: what it would be without
    exploration, best: with the best contacts for the same listeners. believed_A, true_A: of an action, on average over who may get it.
    shown_A: the share of listeners who get it, by chance."""

    strategy: str
    week: int
    value: float
    exploiting: float
    best: float
    believed_A: np.ndarray = field(repr=False)
    true_A: np.ndarray = field(repr=False)
    shown_A: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class _State:
    moment: listeners.Moment
    tables: tuple[week.MarketTables, ...]


def run(scenario: Scenario, strategies: Sequence[Strategy], learning: Learning) -> Iterator[JudgedWeek]:
    """Every strategy's weeks after those decided by hand."""
    first = scenario.weeks[0]
    people = listeners.draw(first.settings, _generator(learning, PEOPLE), 0, first.settings.users)
    state = _State(listeners.first_moment(first.settings, _generator(learning, PEOPLE, 1), people), ())
    for number in range(scenario.by_hand):
        here = scenario.standing(number, people, state.moment)
        options = week.hand_made(scenario.weeks[number], here)
        state = _step(scenario, number, people, state, here, options, learning)
    model = learn(scenario, scenario.by_hand, state.tables, learning)
    for strategy in strategies:
        yield from _weeks(scenario, strategy, people, state, model, learning)


def _weeks(
    scenario: Scenario,
    strategy: Strategy,
    people: listeners.Listeners,
    state: _State,
    model: ValueModel,
    learning: Learning,
) -> Iterator[JudgedWeek]:
    for number in range(scenario.by_hand, len(scenario.weeks)):
        if strategy.learns and number > scenario.by_hand:
            model = learn(scenario, number, state.tables, learning)
        market, here = scenario.weeks[number], scenario.standing(number, people, state.moment)
        true_UA = true_value(market, here, learning.worth)
        if strategy.learns:
            belief = believe(model, here, scenario.day(number), learning.worth)
        else:
            belief = Belief(true_UA, np.zeros_like(true_UA), here.eligible_UA)
        options = strategy.chances(belief, _generator(learning, THOMPSON, number))
        yield _judged(strategy, number - scenario.by_hand, options, belief, true_UA, market.settings.logging.holdout)
        state = _step(scenario, number, people, state, here, options, learning)


def _step(
    scenario: Scenario,
    number: int,
    people: listeners.Listeners,
    state: _State,
    here: week.MarketState,
    options: ActionDistribution,
    learning: Learning,
) -> _State:
    """The same dice in the same week whoever decides, so that strategies differ by their decisions alone."""
    rng = _generator(learning, DICE, number)
    market, day = scenario.weeks[number], scenario.day(number)
    tables, moment = week.live(market, rng, people, state.moment, here, options, day)
    return _State(moment, (*state.tables, tables))


def _generator(learning: Learning, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(learning.seed, spawn_key=key))


def known(market: week.Market, tables: Sequence[week.MarketTables], day: date) -> Logs:
    """What a strategy's tables tell of its decisions on that day."""
    rows, schema = week.together(tables), world.table_schema(market.settings)
    part = UserTables(
        users=as_frame(rows.users),
        exposures=as_frame(rows.exposures.drop_columns("eligible")),
        outcomes=as_frame(rows.outcomes),
        eligible=as_flags(rows.exposures.column("eligible"), len(market.catalogue.actions)),
    )
    frame = join(part, schema, day)
    return Logs(schema.log_schema(), market.catalogue.actions, frame.drop(columns="eligible"), eligible_of(frame))


def learn(scenario: Scenario, number: int, tables: Sequence[week.MarketTables], learning: Learning) -> ValueModel:
    """The model of a week, from all that is known of the weeks before it."""
    logs = known(scenario.weeks[number], tables, scenario.day(number))
    return train(logs, learning.model, learning.fit, learning.seed, constant_too=True).model


def believe(model: ValueModel, here: week.MarketState, day: date, worth: Mapping[str, np.ndarray]) -> Belief:
    """What the model says of a contact's worth; errors of different outcomes are taken to be independent."""
    effects = model.effects(model.encoder.encode(as_frame(week.snapshot(here.frame, day))))
    value_UA = sum(worth_A * effects[name].mean_UA for name, worth_A in worth.items())
    variance_UA = sum((worth_A * effects[name].stderr_UA) ** 2 for name, worth_A in worth.items())
    return Belief(value_UA, np.sqrt(variance_UA), here.eligible_UA)


def true_value(market: week.Market, here: week.MarketState, worth: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64[U, A]: over nothing, given what can be observed."""
    expected = answers.given_observed(market.answers, here.at)
    return sum(worth_A * (expected[name][:, :-1] - expected[name][:, -1:]) for name, worth_A in worth.items())


def _judged(
    strategy: Strategy, number: int, options: ActionDistribution, belief: Belief, true_UA: np.ndarray, holdout: float
) -> JudgedWeek:
    may_UA = belief.eligible_UA
    chance_UA = options.chance_UA[:, :-1]

    def earned(chance_UA: np.ndarray) -> float:
        return (1 - holdout) * float((chance_UA * true_UA).sum(1).mean())

    count_A = np.maximum(may_UA.sum(0), 1)
    return JudgedWeek(
        strategy=strategy.name,
        week=number,
        value=earned(chance_UA),
        exploiting=earned(greedy(belief.value_UA, may_UA)[:, :-1]),
        best=earned(greedy(true_UA, may_UA)[:, :-1]),
        believed_A=np.where(may_UA, belief.value_UA, 0.0).sum(0) / count_A,
        true_A=np.where(may_UA, true_UA, 0.0).sum(0) / count_A,
        shown_A=(1 - holdout) * chance_UA.mean(0),
    )


def prompt(settings: MarketSettings) -> MarketSettings:
    """The same market where everything that came of a decision is known a week later."""
    changed = {"from_day": 0, "to_day": 7, "matures_after": 7, "early_days": ()}
    outcomes = tuple(outcome.model_copy(update=changed) for outcome in settings.outcomes)
    return settings.model_copy(update={"outcomes": outcomes})
