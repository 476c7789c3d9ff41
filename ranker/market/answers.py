"""Expected outcomes of every action, given everything or given the observable features alone.

The logit of each link is the one of settings.Response; z is the hidden trait, N(0, 1). Revenue is the worth of a
subscription and of a purchase, times their probabilities.

Axes: U users (listeners), A actions (catalogue order; where said, one more last column: none), S signals, L contacts of a slate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.catalogue import Catalogue
from ranker.market.settings import LINKS, OUTCOMES, SIGNALS, MarketSettings, Response, Weights

DAYS = 7
NODES = 7  # of Gauss-Hermite quadrature: the logits are nearly linear in z, 7 are exact to float32


@dataclass(frozen=True)
class Link:
    """One outcome's response as arrays; the last entry of an action axis is none."""

    base: float
    signals_S: np.ndarray
    hidden: float
    fixed_A: np.ndarray
    affinity_A: np.ndarray
    answer_S: np.ndarray
    hidden_effect: float


@dataclass(frozen=True)
class Answers:
    """The market's truth as arrays, built once. reach_A: strength times position, 0 for none.

    plan_eur_A, purchase_eur_A: mean worth of a subscription and of a purchase after the action. cannibal: for each of the two
    products, which actions offer it and the feature that tells when the other one was offered last.
    """

    links: Mapping[str, Link]
    fit_SA: np.ndarray
    reach_A: np.ndarray
    plan_eur_A: np.ndarray
    purchase_eur_A: np.ndarray
    spending_S: np.ndarray
    fatigue: float
    factor: float
    cannibal: tuple[tuple[np.ndarray, str], ...]


@dataclass(frozen=True)
class Situation:
    """Listeners on the day of a decision, seen through what an effect depends on.

    scale_UA: what is left of an effect. lately_2U: whether each product of the cannibals is spoiled by an earlier offer of the other.
    """

    signals_US: np.ndarray
    scale_UA: np.ndarray
    lately_2U: np.ndarray


def build(settings: MarketSettings, catalogue: Catalogue) -> Answers:
    effects = settings.effects
    positions = {slot.name: slot.position for slot in settings.slots}
    first, second = settings.cannibalisation.products
    products = np.array([*(action["product"] for action in catalogue.actions), ""])
    return Answers(
        links={name: _link(effects.responses[name], effects.heterogeneity, catalogue) for name in LINKS},
        fit_SA=_fit(settings, catalogue),
        reach_A=np.array([*(effects.strength * positions[slot] for slot in catalogue.slots), 0.0], np.float32),
        plan_eur_A=_plan_worth(settings, catalogue),
        purchase_eur_A=_purchase_worth(settings, catalogue),
        spending_S=weights(effects.revenue.spending),
        fatigue=settings.fatigue,
        factor=settings.cannibalisation.factor,
        cannibal=((products == first, f"weeks_since_{second}"), (products == second, f"weeks_since_{first}")),
    )


def situation(answers: Answers, frame: pd.DataFrame, signals_US: np.ndarray) -> Situation:
    """scale = strength * position * (1 - fatigue)^contacts, times the factor where the cannibal was offered in 28 days."""
    left_U = (1 - answers.fatigue) ** frame["contacts_28d"].to_numpy(np.float32)
    scale_UA = left_U[:, None] * answers.reach_A
    lately_2U = np.stack([frame[feature].to_numpy() <= 4 for _, feature in answers.cannibal])
    for (offered_A, _), lately_U in zip(answers.cannibal, lately_2U, strict=True):
        scale_UA[np.ix_(lately_U, offered_A)] *= answers.factor
    return Situation(signals_US, scale_UA, lately_2U)


def chances(answers: Answers, at: Situation, slate_UL: np.ndarray, z_U: np.ndarray) -> dict[str, np.ndarray]:
    """float[U] per link: the chance after the contacts each listener got (A stands for none), given everything.

    Logits of contacts add up; of the two products that take from each other, either loses by the other one in the slate, unless it lost by
    an earlier offer already.
    """
    scale_UL = _beside(answers, at, slate_UL)
    fit_UL = np.einsum("us,uls->ul", at.signals_US, answers.fit_SA.T[slate_UL])
    found = {}
    for name, link in answers.links.items():
        base_U, own_U = _listener_part(link, at.signals_US)
        gain_UL = link.fixed_A[slate_UL] + link.affinity_A[slate_UL] * fit_UL + own_U[:, None]
        gain_UL = gain_UL + (link.hidden_effect * z_U)[:, None]
        found[name] = _sigmoid(base_U + link.hidden * z_U + (scale_UL * gain_UL).sum(axis=1))
    return found


def _beside(answers: Answers, at: Situation, slate_UL: np.ndarray) -> np.ndarray:
    """What is left of each contact's effect: of the situation, and beside the other contacts."""
    scale_UL = at.scale_UA[np.arange(len(slate_UL))[:, None], slate_UL]
    offered_2UL = np.stack([offered_A[slate_UL] for offered_A, _ in answers.cannibal])
    both_U = offered_2UL.any(axis=2).all(axis=0)
    for offered_UL, lately_U in zip(offered_2UL, at.lately_2U, strict=True):
        scale_UL[(both_U & ~lately_U)[:, None] & offered_UL] *= answers.factor
    return scale_UL


def worth(answers: Answers, at: Situation, slate_UL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """EUR[U]: mean worth of a subscription and of a purchase after the contacts each listener got, on average over these."""
    spending_U = np.exp(at.signals_US @ answers.spending_S)
    none = len(answers.reach_A) - 1
    share_UL = (slate_UL != none).astype(np.float32)
    share_UL[~share_UL.any(axis=1), 0] = 1.0
    share_UL /= share_UL.sum(axis=1, keepdims=True)
    plan_U, purchase_U = (
        (share_UL * each_A[slate_UL]).sum(axis=1) for each_A in (answers.plan_eur_A, answers.purchase_eur_A)
    )
    return plan_U, spending_U * purchase_U


def given_all(answers: Answers, at: Situation, z_U: np.ndarray) -> dict[str, np.ndarray]:
    """float32[U, A+1] per outcome: its expectation after every action (last: none), knowing z."""
    return _expected(answers, at, lambda logit, slope: _sigmoid(logit + slope * z_U[:, None].astype(np.float32)))


def given_observed(answers: Answers, at: Situation) -> dict[str, np.ndarray]:
    """The same knowing only what is observable: E over z, as sum_q w_q f(z_q) by Gauss-Hermite quadrature."""
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(NODES)
    node_weights = node_weights / node_weights.sum()

    def mean_over_z(logit: np.ndarray, slope: np.ndarray) -> np.ndarray:
        total, point = np.zeros_like(logit), np.empty_like(logit)
        for node, weight in zip(nodes.astype(np.float32), node_weights.astype(np.float32), strict=True):
            np.multiply(slope, node, out=point)
            point += logit
            total += weight * _sigmoid(point, out=point)
        return total

    return _expected(answers, at, mean_over_z)


def _expected(
    answers: Answers, at: Situation, mean: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """mean: takes the logit at z = 0 and its slope in z, both [U, A+1], to a chance."""
    fit_UA = at.signals_US @ answers.fit_SA
    chance = {}
    for name, link in answers.links.items():
        base_U, own_U = _listener_part(link, at.signals_US)
        gain_UA = fit_UA * link.affinity_A
        gain_UA += link.fixed_A
        gain_UA += own_U[:, None]
        gain_UA *= at.scale_UA
        gain_UA += base_U[:, None]
        chance[name] = mean(gain_UA, link.hidden + link.hidden_effect * at.scale_UA)
    spending_U = np.exp(at.signals_US @ answers.spending_S)
    purchase_eur_UA = spending_U[:, None] * answers.purchase_eur_A
    found = {name: chance[name] for name in ("subs", "mau", "opt_out")}
    found["active_days"] = DAYS * chance["active_days"]
    found["revenue"] = chance["subs"] * answers.plan_eur_A + chance["purchase"] * purchase_eur_UA
    return {name: found[name] for name in OUTCOMES}


def weights(named: Weights) -> np.ndarray:
    """float32[S]"""
    return np.array([named.get(name, 0.0) for name in SIGNALS], np.float32)


def _listener_part(link: Link, signals_US: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.float32(link.base) + signals_US @ link.signals_S, signals_US @ link.answer_S


def _sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    out = np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def _link(response: Response, heterogeneity: float, catalogue: Catalogue) -> Link:
    fixed = [
        response.contact
        + response.kinds.get(action["surface_kind"], 0.0)
        + response.products.get(action["product"], 0.0)
        + response.messages.get(action["message"], 0.0)
        for action in catalogue.actions
    ]
    affinity = [heterogeneity * response.affinity.get(action["family"], 0.0) for action in catalogue.actions]
    return Link(
        base=response.base,
        signals_S=weights(response.signals),
        hidden=response.hidden,
        fixed_A=np.array([*fixed, 0.0], np.float32),
        affinity_A=np.array([*affinity, 0.0], np.float32),
        answer_S=np.float32(heterogeneity) * weights(response.answer),
        hidden_effect=response.hidden_effect,
    )


def _fit(settings: MarketSettings, catalogue: Catalogue) -> np.ndarray:
    """float32[S, A+1]: how an offer fits a listener is a sum over its product, message and surface."""
    affinity = settings.effects.affinity
    columns = [
        weights(affinity.products.get(action["product"], {}))
        + weights(affinity.messages.get(action["message"], {}))
        + weights(affinity.surfaces.get(action["surface"], {}))
        for action in catalogue.actions
    ]
    return np.column_stack([*columns, np.zeros(len(SIGNALS), np.float32)])


def _plan_worth(settings: MarketSettings, catalogue: Catalogue) -> np.ndarray:
    revenue = settings.effects.revenue
    organic = revenue.months * revenue.organic_plan_eur
    offered = [
        revenue.months * action["price_eur"] - action["discount_eur"] if action["family"] == "plan" else organic
        for action in catalogue.actions
    ]
    return _steered(organic, offered, revenue.steering["plan"])


def _purchase_worth(settings: MarketSettings, catalogue: Catalogue) -> np.ndarray:
    revenue = settings.effects.revenue
    organic = revenue.organic_purchase_eur
    offered = [action["price_eur"] if action["family"] == "other" else organic for action in catalogue.actions]
    return _steered(organic, offered, revenue.steering["other"])


def _steered(organic: float, offered: Sequence[float], steering: float) -> np.ndarray:
    """float32[A+1]: what is bought after each offer is worth; the organic amount after none."""
    return (organic + steering * (np.array([*offered, organic]) - organic)).astype(np.float32)
