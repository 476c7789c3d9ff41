"""The listeners of the market: their population, their observable features, and how these change from week to week.

Axes: U users (listeners of one chunk), A actions (catalogue order), S signals (settings.SIGNALS), N weeks (the last
four), L contacts of a slate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.catalogue import Catalogue
from ranker.market.settings import LIFECYCLES, SIGNALS, MarketSettings

FIRST_ID = 1_000_000_000
NEVER = 27  # weeks since a contact are told up to half a year
PLATFORMS = ("android", "ios", "desktop", "web")
GENRES = ("pop", "rock", "hiphop", "classical", "electronic", "kpop")
CHANNELS = ("organic", "partner", "paid_search", "referral")
ACTIVITY = {"new": 0.1, "free": 0.0, "student": 0.3, "subscriber": 0.5, "at_risk": -0.9, "lapsed": -1.6}
PLANS = ("premium_lite", "premium_individual", "premium_duo", "premium_family", "premium_annual")
PLANS_BY_HOUSEHOLD = {
    1: (0.2, 0.6, 0.02, 0.03, 0.15),
    2: (0.15, 0.35, 0.25, 0.1, 0.15),
    3: (0.12, 0.25, 0.08, 0.45, 0.1),
}

# Range of every numeric feature, and whether it can be missing.
NUMERIC: Mapping[str, tuple[float, float, bool]] = {
    "age": (13, 100, True),
    "household_size": (1, 8, True),
    "tenure_weeks": (0, 1500, False),
    "minutes_28d": (0, 40_320, False),
    "active_days_28d": (0, 28, False),
    "skip_rate": (0, 1, False),
    "playlists": (0, 10_000, False),
    "devices": (1, 50, False),
    "podcast_share": (0, 1, False),
    "audiobook_hours_28d": (0, 672, False),
    "artists_followed": (0, 100_000, False),
    "evening_share": (0, 1, True),
    "picker_visits_28d": (0, 1000, False),
    "push_consent": (0, 1, False),
    "email_consent": (0, 1, False),
    "owns_audiobooks": (0, 1, False),
    "owns_hifi": (0, 1, False),
    "contacts_28d": (0, 4, False),
    "messages_28d": (0, 4, False),
    "weeks_since_plan": (1, NEVER - 1, True),
}
CATEGORICAL = ("market", "lifecycle", "platform", "current_plan", "genre", "channel")
MAY_LACK = ("channel",)


@dataclass(frozen=True)
class Listeners:
    """What stays: ids int64[U], fixed features, typical activity, and the hidden trait.

    z_U: N(0, 1), independent of everything observable.
    """

    user_id: np.ndarray
    fixed: Mapping[str, np.ndarray]
    typical_U: np.ndarray
    z_U: np.ndarray

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True)
class Moment:
    """What moves. recent_UN: contact of each of the last four weeks (0 none, 1 a contact, 2 a message), latest first.

    since: group -> weeks since its last contact, NEVER at most. activity_U: this month's listening, in deviations.
    """

    activity_U: np.ndarray
    books_U: np.ndarray
    picks_U: np.ndarray
    recent_UN: np.ndarray
    since: Mapping[str, np.ndarray]

    @property
    def contacts_U(self) -> np.ndarray:
        return (self.recent_UN > 0).sum(axis=1)


def contact_groups(settings: MarketSettings) -> tuple[str, ...]:
    """Groups whose last contact is remembered: plans, and the two products that cannibalise each other."""
    return ("plan", *settings.cannibalisation.products)


def numeric_features(settings: MarketSettings) -> Mapping[str, tuple[float, float, bool]]:
    """Every numeric feature with its range and whether it can be missing."""
    return {**NUMERIC, **{f"weeks_since_{name}": NUMERIC["weeks_since_plan"] for name in contact_groups(settings)}}


def draw(settings: MarketSettings, rng: np.random.Generator, start: int, count: int) -> Listeners:
    """The listeners start..start+count-1 of the population."""
    who = settings.population
    market = _choose(rng, who.markets, count)
    lifecycle = _choose(rng, who.lifecycles, count)
    student, new = lifecycle == "student", lifecycle == "new"
    age = np.where(student, rng.normal(21, 2.2, count), 18 + rng.gamma(2.6, 8.0, count)).clip(16, 95).round()
    household = np.where(student, rng.choice([1, 2, 3], count, p=[0.7, 0.2, 0.1]), _household(rng, count))
    typical_U = np.array([ACTIVITY[name] for name in LIFECYCLES])[_codes(lifecycle)] + rng.normal(0, 0.8, count)
    podcast = rng.beta(1.2, 4.5, count)
    categories = {
        "market": market,
        "lifecycle": lifecycle,
        "platform": rng.choice(PLATFORMS, count, p=[0.45, 0.35, 0.12, 0.08]),
        "current_plan": _current_plan(rng, lifecycle, household),
        "genre": rng.choice(GENRES, count, p=[0.34, 0.2, 0.2, 0.06, 0.14, 0.06]),
        "channel": np.where(rng.random(count) < 0.06, None, rng.choice(CHANNELS, count, p=[0.5, 0.15, 0.25, 0.1])),
    }
    fixed = {
        "age": _with_missing(rng, age, 0.05),
        "household_size": _with_missing(rng, household, 0.1),
        "tenure_weeks": np.where(new, rng.integers(1, 9, count), 8 + rng.exponential(140, count)).clip(0, 900).round(),
        "skip_rate": rng.beta(3, 7, count),
        "playlists": rng.lognormal(2.0, 0.9, count).round().clip(0, 2000),
        "devices": 1 + rng.poisson(0.7 + 0.25 * household),
        "podcast_share": podcast,
        "artists_followed": rng.lognormal(2.6, 1.0, count).round().clip(0, 5000),
        "evening_share": _with_missing(rng, rng.beta(4, 5, count), 0.03),
        "push_consent": rng.random(count) < who.push_consent,
        "email_consent": rng.random(count) < who.email_consent,
        "owns_audiobooks": rng.random(count) < 0.05,
        "owns_hifi": rng.random(count) < 0.05,
        "reads": (rng.random(count) < 0.25 + 0.8 * podcast) * rng.lognormal(1.0, 0.9, count),
    }
    columns = {name: pd.Categorical(values) for name, values in categories.items()}
    ids = FIRST_ID + start + np.arange(count)
    return Listeners(ids, columns | fixed, typical_U, rng.standard_normal(count))


def first_moment(settings: MarketSettings, rng: np.random.Generator, listeners: Listeners) -> Moment:
    """How things stand at the start of week 1, with contacts from the weeks before."""
    count = len(listeners)
    contacted = rng.random((count, 4)) < settings.population.contacted_before
    recent_UN = (contacted * (1 + (rng.random((count, 4)) < 0.35))).astype(np.int8)
    chances = dict.fromkeys(contact_groups(settings), 0.06) | {"plan": 0.25}
    since = {group: _weeks_since(rng.geometric(chance, count), recent_UN) for group, chance in chances.items()}
    activity_U = listeners.typical_U + rng.normal(0, 0.4, count)
    return Moment(activity_U, _books(rng, listeners), _picks(rng, listeners), recent_UN, since)


def next_moment(
    rng: np.random.Generator, moment: Moment, listeners: Listeners, shown: "ActionTraces", slate_UL: np.ndarray
) -> Moment:
    """A week later: the contacts slate_UL (A for none) were made, and habits drifted. A week with several counts as one with a contact."""
    count = len(listeners)
    drift = rng.normal(0, 0.24, count)
    activity_U = listeners.typical_U + 0.8 * (moment.activity_U - listeners.typical_U) + drift
    recent_UN = np.column_stack([shown.contact_A[slate_UL].max(axis=1), moment.recent_UN[:, :3]])
    since = {
        group: np.where(shown.in_group[group][slate_UL].any(axis=1), 1, np.minimum(weeks_U + 1, NEVER))
        for group, weeks_U in moment.since.items()
    }
    return Moment(activity_U, _books(rng, listeners), _picks(rng, listeners), recent_UN, since)


@dataclass(frozen=True)
class ActionTraces:
    """What showing an action means for later; the last entry is none.

    contact_A: 0, 1 or 2 as in Moment. in_group: group -> bool[A+1].
    """

    contact_A: np.ndarray
    in_group: Mapping[str, np.ndarray]


def shown_of(settings: MarketSettings, catalogue: Catalogue) -> ActionTraces:
    kinds = [2 if action["surface_kind"] == "messaging" else 1 for action in catalogue.actions]
    groups = {}
    for group in contact_groups(settings):
        inside = [group in (action["family"], action["product"]) for action in catalogue.actions]
        groups[group] = np.array([*inside, False])
    return ActionTraces(np.array([*kinds, 0], np.int8), groups)


def features(listeners: Listeners, moment: Moment) -> pd.DataFrame:
    """What is observable on the day of a decision: U rows; float32 with NaN where missing, and categories."""
    minutes = np.exp(6.3 + 0.9 * moment.activity_U).clip(0, 40_320)
    days = np.round(28 / (1 + np.exp(-0.2 - 1.1 * moment.activity_U)))
    numbers = {name: listeners.fixed[name] for name in NUMERIC if name in listeners.fixed}
    numbers |= {"minutes_28d": minutes.round(), "active_days_28d": days, "audiobook_hours_28d": moment.books_U.round(1)}
    numbers |= {"picker_visits_28d": moment.picks_U, "contacts_28d": moment.contacts_U}
    numbers |= {"messages_28d": (moment.recent_UN == 2).sum(axis=1)}
    for group, weeks_U in moment.since.items():
        numbers[f"weeks_since_{group}"] = np.where(weeks_U >= NEVER, np.nan, weeks_U)
    columns = {name: np.asarray(values, np.float32) for name, values in numbers.items()}
    return pd.DataFrame(
        {"user_id": listeners.user_id, **columns, **{name: listeners.fixed[name] for name in CATEGORICAL}}
    )


def signals(settings: MarketSettings, frame: pd.DataFrame) -> np.ndarray:
    """float32[U, S] from the observable features alone; a missing feature gives neutral signals (0)."""
    number = {name: frame[name].to_numpy() for name in numeric_features(settings)}
    plan, genre, lifecycle, platform = (frame[name] for name in ("current_plan", "genre", "lifecycle", "platform"))
    thrift = settings.population.thrift
    size = number["household_size"]
    found = {
        "household": (size - 2.3) / 1.25,
        "pair": np.where(np.isnan(size), np.nan, ((size == 2) - 0.32) / 0.47),
        "single": np.where(np.isnan(size), np.nan, ((size == 1) - 0.35) / 0.48),
        "youth": (36 - number["age"]) / 13,
        "books": (np.log1p(number["audiobook_hours_28d"]) - 0.6) / 0.8,
        "listening": (np.log1p(number["minutes_28d"]) - 6.2) / 1.1,
        "skipping": (number["skip_rate"] - 0.3) / 0.14,
        "playlists": (np.log1p(number["playlists"]) - 2.15) / 0.8,
        "devices": (number["devices"] - 2.3) / 1.15,
        "podcasts": (number["podcast_share"] - 0.21) / 0.16,
        "followed": (np.log1p(number["artists_followed"]) - 2.7) / 0.95,
        "thrift": frame["market"].map(thrift).astype(float),
        "tenure": (np.log1p(number["tenure_weeks"]) - 4.2) / 1.2,
        "novelty": (lifecycle.isin(("new", "lapsed")) - 0.22) / 0.41,
        "dormancy": (lifecycle.isin(("at_risk", "lapsed")) - 0.18) / 0.38,
        "paying": ((plan != "free") - 0.42) / 0.49,
        "active": (number["active_days_28d"] - 15.5) / 7,
        "mobile": (platform.isin(("android", "ios")) - 0.8) / 0.4,
        "evening": (number["evening_share"] - 0.44) / 0.16,
        "picking": ((number["picker_visits_28d"] > 0) - 0.35) / 0.48,
        "contacted": (number["contacts_28d"] - 2.2) / 1.1,
        "classical": ((genre == "classical") - 0.06) / 0.24,
        "rock": ((genre == "rock") - 0.2) / 0.4,
        "pop": ((genre == "pop") - 0.34) / 0.47,
        "hiphop": ((genre == "hiphop") - 0.2) / 0.4,
    }
    return np.nan_to_num(np.column_stack([found[name] for name in SIGNALS]).clip(-3, 3)).astype(np.float32)


def eligible(frame: pd.DataFrame, catalogue: Catalogue) -> np.ndarray:
    """bool[U, A]: what may be shown: nothing already owned, students' plans to students, consent, the picker to who opens it."""
    plan, paying = frame["current_plan"], (frame["current_plan"] != "free").to_numpy()
    student = (frame["lifecycle"] == "student").to_numpy()
    barred = {
        "premium_lite": paying,
        "premium_student": ~student,
        "audiobooks": frame["owns_audiobooks"].to_numpy() > 0,
        "hifi": frame["owns_hifi"].to_numpy() > 0,
    }
    reached = {
        "push": frame["push_consent"].to_numpy() > 0,
        "email": frame["email_consent"].to_numpy() > 0,
        "consideration": frame["picker_visits_28d"].to_numpy() > 0,
    }
    everyone = np.ones(len(frame), bool)
    products = {str(action["product"]) for action in catalogue.actions}
    fits = {name: (plan != name).to_numpy() & ~barred.get(name, ~everyone) for name in products}
    rows = [
        fits[action["product"]]
        & reached.get(action["surface"], everyone)
        & reached.get(action["surface_kind"], everyone)
        for action in catalogue.actions
    ]
    return np.ascontiguousarray(np.array(rows).T)


def _choose(rng: np.random.Generator, shares: Mapping[str, float], count: int) -> np.ndarray:
    weights = np.array(list(shares.values()))
    return rng.choice(np.array(list(shares), object), count, p=weights / weights.sum())


def _codes(lifecycle: np.ndarray) -> np.ndarray:
    return pd.Index(LIFECYCLES).get_indexer(lifecycle)


def _household(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.choice([1, 2, 3, 4, 5, 6], count, p=[0.3, 0.34, 0.14, 0.14, 0.06, 0.02])


def _current_plan(rng: np.random.Generator, lifecycle: np.ndarray, household: np.ndarray) -> np.ndarray:
    count = len(lifecycle)
    plan = np.full(count, "free", object)
    paying = np.isin(lifecycle, ("subscriber", "at_risk"))
    for size, shares in PLANS_BY_HOUSEHOLD.items():
        here = paying & (np.minimum(household, 3) == size)
        plan[here] = rng.choice(np.array(PLANS, object), int(here.sum()), p=shares)
    plan[(lifecycle == "student") & (rng.random(count) < 0.5)] = "premium_student"
    return plan


def _with_missing(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    return np.where(rng.random(len(values)) < share, np.nan, values)


def _books(rng: np.random.Generator, listeners: Listeners) -> np.ndarray:
    return (listeners.fixed["reads"] * rng.lognormal(0, 0.3, len(listeners))).clip(0, 400)


def _picks(rng: np.random.Generator, listeners: Listeners) -> np.ndarray:
    interested = listeners.fixed["lifecycle"].isin(("new", "lapsed", "free", "student"))
    return rng.poisson(np.where(interested, 0.55, 0.25))


def _weeks_since(weeks_U: np.ndarray, recent_UN: np.ndarray) -> np.ndarray:
    """Weeks that agree with the recent contacts: where no contact was made that week, it was four weeks earlier."""
    made = recent_UN[np.arange(len(weeks_U)), np.minimum(weeks_U, 4) - 1] > 0
    return np.minimum(np.where((weeks_U <= 4) & ~made, weeks_U + 4, weeks_U), NEVER)
