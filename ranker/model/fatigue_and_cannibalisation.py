"""Fatigue and cannibalisation: how earlier contacts of a user change the effect of the next one.

Fatigue is the factor k by which each contact of the days before multiplies an effect. Cannibalisation is the factor by which an offer of
another product, made lately or in the same week, multiplies it. Both are estimated by weighted least squares on

    y = m_0 + h' b_o + k^(c - mean c) (e_o[a] (s_p + sum_j d_pj f_j) + t_o g_o (c - mean c)) + noise

    y      outcome o of a row
    m_0    expected outcome without contact
    a, p   the logged action and its product
    e_o    calibrated effect that a member expects of a user whom it did not see, earlier contacts held at their average
    c, f_j number of contacts of the days before; flags of what else was offered
    h      (1, c, f): what history does to the outcome without contact
    s_p    scale of the effects of product p, near 1
    1 + d_pj / s_p   the factor of product p beside flag j
    g_o    what each earlier contact adds to effects on outcome o, on the scale of its link, of which t_o is the slope

k and the factors are the same for all outcomes, whose rows are stacked, each weighted by its precision. g_o is an outcome's own: a user
who is worn out buys less and opts out more. Rows are weighted by stabilised inverse propensities, which makes the action independent of
h. The equations are solved by Gauss-Newton in log k. Standard errors come from the jackknife over parts of users, so that outcomes and
weeks of one user stay together.

Each pair gets a probability of cannibalising, from a spike-and-slab prior whose mixing weight pi is estimated from all pairs (empirical
Bayes; Scott and Berger 2010): with probability pi both directions have factors uniform on [0, 1], else both are 1. Each g_o has a
spike-and-slab prior of its own, with even odds: 0, or normal around 0.

Axes: R rows, A actions, B = A + 1 arms (none last), O outcomes, V values of the attribute (products), J flags, L
parts of users, T coefficients (t: some of them), N estimates (of pairs), S points of a grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, logsumexp, softmax

from ranker.catalogue import BASES, Interference, InterferenceRecord, Kept, Pair
from ranker.contact_history import OtherContacts, other_contacts
from ranker.features import Features
from ranker.logs import Logs, StoredLogs
from ranker.model.carryover import Carryover, Growth, carryover_of
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, stabilised_weights
from ranker.model.outcome_heads import Target
from ranker.model.splits import Splits

GROUPS = 20
ROWS_AT_ONCE = 8_192
WEIGHT_CLIP = 10.0
FEWEST_ROWS = 100  # of a product beside another, to say anything of the pair
SAME_WEEK_ROWS = 1_000  # of a product beside another in one week, to rest on these alone
SCALE_SD = 0.5  # prior of s around 1: effects are calibrated
CHANGE_SD = 3.0  # of d around 0: hardly any
FATIGUE_SD = 0.3  # of log k around 0
GROWTH_SD, GROWS = 0.1, 0.5  # of g around 0, where it is not 0; how likely it is not
LEAST_INFORMATION = 1e-6  # of a column must be left beside the others, to say anything of its coefficient
STEPS, CLOSE = 6, 1e-3
BELIEVED = 0.5
FACTOR_S = (np.arange(1_000) + 0.5) / 1_000
SMALLEST_STDERR = 2e-3  # the factors above are no finer


@dataclass(frozen=True)
class PairFinding:
    """One ordered pair. raw: the factor as estimated alone; effect: shrunk; probability: that the two spoil each other."""

    where: object
    beside: object
    raw: Kept
    effect: Kept
    probability: float
    basis: str

    def to_json(self, attribute: str) -> dict:
        return {
            "where": {attribute: self.where},
            "beside": {attribute: self.beside},
            **self.effect.to_json(),
            "raw": self.raw.kept,
            "raw_stderr": self.raw.stderr,
            "probability": self.probability,
            "basis": self.basis,
        }


@dataclass(frozen=True)
class Grown:
    """What an earlier contact adds to effects on one outcome. raw, raw_stderr: as estimated alone; growth: shrunk; probability: that
    it adds anything."""

    growth: Growth
    raw: float
    raw_stderr: float
    probability: float

    def to_json(self) -> dict:
        return {
            **vars(self.growth),
            "raw": self.raw,
            "raw_stderr": self.raw_stderr,
            "probability": self.probability,
        }


@dataclass(frozen=True)
class Estimated:
    """What is handed over, what of it features tell of single users, every pair that was looked at, the most probable first, and every
    outcome."""

    interference: Interference
    carryover: Carryover | None
    attribute: str
    findings: tuple[PairFinding, ...]
    growths: tuple[Grown, ...] = ()

    def to_json(self) -> dict:
        return {
            **InterferenceRecord.of(self.interference).content(),
            "pairs": [each.to_json(self.attribute) for each in self.findings],
            "handed_over": len(self.interference.pairs),
            "growths": [each.to_json() for each in self.growths],
        }


def estimate(
    model: ValueModel, logs: Logs | StoredLogs, examples: Examples, splits: Splits, attribute: str
) -> Estimated | None:
    """On the rows that are not test rows, with a calibrated model without carryover; pairs are of the actions' values of `attribute`.

    None where the logs tell of no other contacts, or the actions have no such attribute.
    """
    told = () if logs.schema.history is None else logs.schema.history.columns
    frame = logs.columns(("user_id", "as_of", "action", *told))
    contacts = other_contacts(frame, logs.schema.history, logs.actions, attribute)
    if contacts is None:
        return None
    contacts = contacts if examples.row_R is None else contacts.take(examples.row_R)
    held = _average_history(logs)
    rows = _rows(model, held, examples, splits, contacts)
    solved = solve(rows)
    count_VJ = np.stack([(rows.flag_RJ[rows.value_R == v] > 0.5).sum(0) for v in range(rows.values)])
    findings = _findings(contacts.values, solved.factor_VJ, solved.factor_stderr_VJ, count_VJ)
    believed = [each for each in findings if each.probability >= BELIEVED]
    pairs = [Pair({attribute: e.where}, {attribute: e.beside}, e.effect, e.basis) for e in believed]
    interference = Interference(contacts.days, solved.fatigue, tuple(pairs))
    names = [target.name for target in model.targets]
    growths = [
        grown(name, float(raw), float(stderr))
        for name, raw, stderr in zip(names, solved.growth_O, solved.growth_stderr_O, strict=True)
        if np.isfinite(stderr)
    ]
    handed = [each.growth for each in growths]
    carryover = carryover_of(interference, handed, logs.schema.history, model.encoder, held)
    return Estimated(interference, carryover, attribute, tuple(findings), tuple(growths))


@dataclass(frozen=True)
class HistoryRows:
    """Contacts of products, and rows without contact (value -1). flag_RJ: offered lately, then in the same week; values in their order.

    response_RO: outcome less what is expected without contact, NaN where not known. lever_RO: expected effect of the logged action.
    link_slope_RO: by how much the expectation changes per unit of its link. precision_RO: what a row tells. group_R: users in GROUPS parts.
    """

    value_R: np.ndarray
    contacts_R: np.ndarray
    flag_RJ: np.ndarray
    response_RO: np.ndarray
    lever_RO: np.ndarray
    link_slope_RO: np.ndarray
    precision_RO: np.ndarray
    group_R: np.ndarray
    values: int


def _rows(
    model: ValueModel,
    held: Mapping[str, float],
    examples: Examples,
    splits: Splits,
    contacts: OtherContacts,
) -> HistoryRows:
    value_B = np.append(contacts.value_A, -1)
    of_none_R = examples.action_R == examples.actions
    learn = np.flatnonzero(splits.learn_R & (of_none_R | (value_B[examples.action_R] >= 0)))
    here = examples.take(learn)
    none_RO, lever_RO = _levers(model, held, here, splits.fold_R[learn])
    weight_R = stabilised_weights(here.action_R, here.propensity_R, here.actions, WEIGHT_CLIP)
    response_RO, precision_RO, link_slope_RO = (
        np.full_like(none_RO, np.nan),
        np.zeros_like(none_RO),
        np.zeros_like(none_RO),
    )
    for o, target in enumerate(model.targets):
        known, outcome_r, information_r = here.filled(o)
        response_RO[known, o] = outcome_r - none_RO[known, o]
        expected_r = none_RO[known, o] + lever_RO[known, o]
        link_slope_RO[known, o] = target.per_link(torch.from_numpy(expected_r)).numpy()
        variance_r = _shape(target, expected_r) / information_r
        noise_r = (response_RO[known, o] - lever_RO[known, o]) ** 2
        precision_RO[known, o] = weight_R[known] * variance_r.sum() / (variance_r * max(noise_r.sum(), 1e-30))
    mine = contacts.take(learn)
    flags = [mine.lately_RV] + ([mine.same_week_RV.astype(np.float32)] if mine.same_week_RV.any() else [])
    return HistoryRows(
        value_R=value_B[here.action_R],
        contacts_R=mine.contacts_R - mine.contacts_R.mean(),
        flag_RJ=np.concatenate(flags, axis=1),
        response_RO=response_RO,
        lever_RO=lever_RO,
        link_slope_RO=link_slope_RO,
        precision_RO=precision_RO,
        group_R=here.user_R % GROUPS,
        values=len(contacts.values),
    )


def _levers(
    model: ValueModel, held: Mapping[str, float], examples: Examples, fold_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-fitted [R, O]: the outcome without contact, and the logged action's calibrated effect with history held at its average."""
    none_RO = np.zeros((len(examples), len(model.targets)), np.float32)
    lever_RO = np.zeros_like(none_RO)
    for fold in range(len(model.members)):
        for action in range(examples.actions + 1):
            rows = np.flatnonzero((fold_R == fold) & (examples.action_R == action))
            if not len(rows):
                continue
            for part in np.array_split(rows, len(rows) // ROWS_AT_ONCE + 1):
                features = examples.features.take(part)
                none_RO[part], lever_RO[part] = _expected(model, fold, action, features, held)
    return none_RO, lever_RO


def _expected(
    model: ValueModel, fold: int, action: int, features: Features, held: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """[R, O] twice: without contact, and what the action adds."""
    known = [model.calibration.of(target.name) for target in model.targets]
    none = [none_R for none_R, _ in model.expected_of_action(fold, features, 0)]
    none_RO = np.stack(none, axis=1) + np.array([each.shift for each in known])
    if action == len(model.actions):
        return none_RO, np.zeros_like(none_RO)
    there = model.expected_of_action(fold, model.encoder.holding(features, held), action)
    raw_RO = np.stack([mean_R - base_R for base_R, mean_R in there], axis=1)
    center_O, slope_O, average_O = (
        np.array([values[action] for values in column])
        for column in (
            [each.center_KA[fold] for each in known],
            [each.slope_A for each in known],
            [each.average_A for each in known],
        )
    )
    return none_RO, average_O + slope_O * (raw_RO - center_O)


def _average_history(logs: Logs | StoredLogs) -> dict[str, float]:
    """Feature -> value: an average number of contacts where any is known, and nothing offered lately."""
    declared = logs.schema.history
    if declared is None:
        return {}
    held = {each.column: np.nan for each in declared.since}
    if declared.contacts is not None:
        average = float(logs.columns([declared.contacts])[declared.contacts].mean())
        held |= {declared.contacts: average} if np.isfinite(average) else {}
    return held


def _shape(target: Target, mean_R: np.ndarray) -> np.ndarray:
    """The variance of an outcome with this expectation, up to a factor."""
    if target.kind == "real":
        return np.ones(len(mean_R))
    shape_R = np.maximum(mean_R.astype(np.float64), 1e-9)
    if target.kind == "binary" or target.bounded:
        shape_R *= np.maximum(1 - shape_R / target.scale, 0.05)
    return shape_R


@dataclass(frozen=True)
class Solved:
    """What all outcomes together say. fatigue: factor of one contact. factor_VJ, factor_stderr_VJ: of each product beside each flag.
    growth_O, growth_stderr_O: what a contact adds to effects on one outcome, were it the only one whose effects grow; infinite errors
    where nothing tells."""

    fatigue: Kept
    factor_VJ: np.ndarray
    factor_stderr_VJ: np.ndarray
    growth_O: np.ndarray
    growth_stderr_O: np.ndarray


def solve(rows: HistoryRows) -> Solved:
    """Outcomes whose effects are believed to grow are taken out of what all outcomes have in common. Of those whose rows tell less of
    it than was known before, which makes even odds of it, nothing is believed."""
    found = _solved(rows, np.empty(0, int))
    estimates = zip(found.growth_O, found.growth_stderr_O, strict=True)
    own = np.array([stderr < GROWTH_SD and grows(raw, stderr) >= BELIEVED for raw, stderr in estimates])
    return _solved(rows, np.flatnonzero(own)) if own.any() else found


def _solved(rows: HistoryRows, own: np.ndarray) -> Solved:
    """own: outcomes with a g_o beside what is common; any other g_o is found as if it alone joined them."""
    values, flags, outcomes = rows.values, rows.flag_RJ.shape[1], rows.response_RO.shape[1]
    place = _Layout(outcomes, values, flags)
    beside = np.setdiff1d(np.arange(outcomes), own)
    order = np.r_[np.arange(place.common), place.common + own, place.common + beside]
    prior_T, center_T = np.full(place.common + len(own), 1e-6), np.zeros(place.common + len(own))
    prior_T[place.scale], center_T[place.scale] = SCALE_SD**-2, 1.0
    prior_T[place.change] = CHANGE_SD**-2
    prior_T[place.fatigue] = FATIGUE_SD**-2
    start_T, log_kept = np.zeros(place.count), 0.0
    start_T[: len(center_T)] = center_T
    for _ in range(STEPS):
        gram_LTT, moment_LT = _normal_equations(rows, place, start_T, log_kept)
        gram_LTT, moment_LT = gram_LTT[:, order[:, None], order], moment_LT[:, order]
        center_T[place.fatigue] = -log_kept
        gram_TT, moment_T = gram_LTT.sum(0), moment_LT.sum(0)
        found = _solution(gram_TT, moment_T, prior_T, center_T)
        start_T[order] = np.append(found.kept_T, np.zeros(len(beside)))
        step, log_kept = start_T[place.fatigue], float(np.clip(log_kept + start_T[place.fatigue], -1.5, 0.7))
        if abs(step) < CLOSE:
            break
    left_L = [
        _solution(gram_TT - gram, moment_T - moment, prior_T, center_T)
        for gram, moment in zip(gram_LTT, moment_LT, strict=True)
    ]
    informed_T = np.append(found.kept_stderr_T, found.added_stderr_O)
    jackknife_T = _jackknife(np.stack([np.append(left.kept_T, left.added_O) for left in left_L]))
    stderr_T, found_T = np.empty(place.count), np.empty(place.count)
    stderr_T[order], found_T[order] = np.maximum(informed_T, jackknife_T), np.append(found.kept_T, found.added_O)
    jackknife_VJ = _jackknife(np.stack([place.factor(left.kept_T) for left in left_L]))
    informed_VJ = found.kept_stderr_T[place.change].reshape(values, flags) / np.abs(found_T[place.scale])[:, None]
    kept = float(np.exp(log_kept))
    return Solved(
        fatigue=Kept(kept, kept * float(stderr_T[place.fatigue])),
        factor_VJ=place.factor(found_T),
        factor_stderr_VJ=np.maximum(jackknife_VJ, informed_VJ),
        growth_O=found_T[place.common :],
        growth_stderr_O=stderr_T[place.common :],
    )


@dataclass(frozen=True)
class _Coefficients:
    """kept_T: coefficients with a prior, and their standard errors. added_O: each of the others if it alone joined them."""

    kept_T: np.ndarray
    kept_stderr_T: np.ndarray
    added_O: np.ndarray
    added_stderr_O: np.ndarray


def _solution(gram_TT: np.ndarray, moment_T: np.ndarray, prior_T: np.ndarray, center_T: np.ndarray) -> _Coefficients:
    """prior_T, center_T: precisions and centres of the coefficients that have a prior, which come first. One more coefficient is what
    these leave of its own column (Frisch and Waugh 1933)."""
    kept, added = slice(0, len(prior_T)), slice(len(prior_T), None)
    beside_TO = gram_TT[kept, added]
    inverse_TT = np.linalg.inv(gram_TT[kept, kept] + np.diag(prior_T))
    kept_T = inverse_TT @ (moment_T[kept] + prior_T * center_T)
    whole_O = np.diag(gram_TT[added, added])
    information_O = whole_O - (beside_TO * (inverse_TT @ beside_TO)).sum(0)
    identified_O = information_O > LEAST_INFORMATION * whole_O
    safe_O = np.where(identified_O, information_O, 1.0)
    return _Coefficients(
        kept_T=kept_T,
        kept_stderr_T=np.sqrt(np.diag(inverse_TT)),
        added_O=np.where(identified_O, (moment_T[added] - beside_TO.T @ kept_T) / safe_O, 0.0),
        added_stderr_O=np.where(identified_O, 1 / np.sqrt(safe_O), np.inf),
    )


def grows(raw: float, stderr: float) -> float:
    """The probability that a g with this estimate is not 0 but normal around it."""
    if not np.isfinite(stderr):
        return 0.0
    trust = GROWTH_SD**2 / (GROWTH_SD**2 + stderr**2)
    evidence = 0.5 * (np.log1p(-trust) + trust * (raw / stderr) ** 2)
    return float(expit(evidence + np.log(GROWS / (1 - GROWS))))


def grown(outcome: str, raw: float, stderr: float) -> Grown:
    """The mean and standard deviation of a g that is 0 or normal around it."""
    trust, probability = GROWTH_SD**2 / (GROWTH_SD**2 + stderr**2), grows(raw, stderr)
    mean, variance = trust * raw, trust * stderr**2
    spread = float(np.sqrt(probability * variance + probability * (1 - probability) * mean**2))
    return Grown(Growth(outcome, probability * mean, spread), raw, stderr, probability)


class _Layout:
    """Where the coefficients stand: b_o per outcome, s_p, d_pj, the step in log k, and g_o, which are not `common`."""

    def __init__(self, outcomes: int, values: int, flags: int):
        self.values, self.flags, self.base = values, flags, 2 + flags
        first = outcomes * self.base
        self.scale = slice(first, first + values)
        self.change = slice(first + values, first + values + values * flags)
        self.fatigue = self.change.stop
        self.common = self.fatigue + 1
        self.count = self.common + outcomes

    def outcome(self, o: int) -> np.ndarray:
        return np.arange(o * self.base, (o + 1) * self.base)

    def product(self, p: int) -> np.ndarray:
        change = self.change.start + p * self.flags
        return np.r_[self.scale.start + p, change : change + self.flags, self.fatigue]

    def growth(self, o: int) -> np.ndarray:
        return np.array([self.common + o])

    def factor(self, theta_T: np.ndarray) -> np.ndarray:
        return 1 + theta_T[self.change].reshape(self.values, self.flags) / theta_T[self.scale][:, None]


def _normal_equations(
    rows: HistoryRows, place: _Layout, theta_T: np.ndarray, log_kept: float
) -> tuple[np.ndarray, np.ndarray]:
    gram_LTT, moment_LT = np.zeros((GROUPS, place.count, place.count)), np.zeros((GROUPS, place.count))
    order = np.lexsort((rows.group_R, rows.value_R))
    cells = (rows.value_R[order] + 1) * GROUPS + rows.group_R[order]
    ends = np.searchsorted(cells, np.arange((rows.values + 1) * GROUPS + 1))
    for cell in np.flatnonzero(np.diff(ends)):
        p, group = divmod(int(cell), GROUPS)
        here = order[ends[cell] : ends[cell + 1]]
        base_Rt = np.column_stack([np.ones(len(here)), rows.contacts_R[here], rows.flag_RJ[here]])
        if p > 0:
            mine = place.product(p - 1)
            tired_R = np.exp(log_kept * rows.contacts_R[here])
            scale_R = rows.flag_RJ[here] @ theta_T[mine[1:-1]] + theta_T[mine[0]]
            own_Rt = np.column_stack([np.ones(len(here)), rows.flag_RJ[here], scale_R * rows.contacts_R[here]])
            own_Rt *= tired_R[:, None]
            grows_R = tired_R * rows.contacts_R[here]
        for o in range(rows.response_RO.shape[1]):
            known = np.isfinite(rows.response_RO[here, o])
            design_Rt, at = [base_Rt], [place.outcome(o)]
            if p > 0:
                more_R, mine_Rt = grows_R * rows.link_slope_RO[here, o], own_Rt * rows.lever_RO[here, o][:, None]
                mine_Rt[:, -1] += theta_T[place.growth(o)] * rows.contacts_R[here] * more_R
                design_Rt += [mine_Rt, more_R[:, None]]
                at += [mine, place.growth(o)]
            x_Rt, at_t = np.concatenate(design_Rt, axis=1)[known], np.concatenate(at)
            weighed_tR = (x_Rt * rows.precision_RO[here[known], o][:, None]).T
            gram_LTT[group][np.ix_(at_t, at_t)] += weighed_tR @ x_Rt
            moment_LT[group][at_t] += weighed_tR @ rows.response_RO[here[known], o]
    return gram_LTT, moment_LT


def _jackknife(left_L: np.ndarray) -> np.ndarray:
    """Standard error by the delete-a-group jackknife."""
    return np.sqrt((len(left_L) - 1) / len(left_L) * ((left_L - left_L.mean(0)) ** 2).sum(0))


def _findings(
    values: Sequence[object], raw_VJ: np.ndarray, stderr_VJ: np.ndarray, count_VJ: np.ndarray
) -> list[PairFinding]:
    """Every ordered pair with enough rows; a product beside itself is one too. Same-week rows go first where there are enough."""
    size = len(values)
    raw_VV, stderr_VV, basis_VV = raw_VJ[:, :size].copy(), stderr_VJ[:, :size].copy(), np.zeros((size, size), int)
    judged_VV = count_VJ[:, :size] >= FEWEST_ROWS
    if raw_VJ.shape[1] > size:
        beside_VV = count_VJ[:, size:] >= SAME_WEEK_ROWS
        raw_VV[beside_VV], stderr_VV[beside_VV] = raw_VJ[:, size:][beside_VV], stderr_VJ[:, size:][beside_VV]
        basis_VV[beside_VV] = 1
        judged_VV |= beside_VV
    probability_VV = spoils(raw_VV, stderr_VV, judged_VV)
    findings = []
    for p, q in zip(*np.nonzero(judged_VV), strict=True):
        kept, stderr = _shrunk(raw_VV[p, q], stderr_VV[p, q], probability_VV[p, q])
        findings.append(
            PairFinding(
                where=values[p],
                beside=values[q],
                raw=Kept(float(raw_VV[p, q]), float(stderr_VV[p, q])),
                effect=Kept(kept, stderr),
                probability=float(probability_VV[p, q]),
                basis=BASES[basis_VV[p, q]],
            )
        )
    return sorted(findings, key=lambda each: -each.probability)


def spoils(raw_VV: np.ndarray, stderr_VV: np.ndarray, judged_VV: np.ndarray) -> np.ndarray:
    """float64[V, V], symmetric: the probability that two products spoil each other, given the estimates of all pairs."""
    rows = zip(raw_VV, stderr_VV, strict=True)
    evidence_VV = np.where(judged_VV, np.stack([_log_bayes_factor(raw_V, stderr_V) for raw_V, stderr_V in rows]), 0.0)
    both_VV = evidence_VV + np.where(np.eye(len(raw_VV), dtype=bool), 0.0, evidence_VV.T)
    pairs = np.triu(judged_VV | judged_VV.T)
    log_N = both_VV[pairs]
    if not len(log_N):
        return np.zeros_like(raw_VV)
    share_S = np.geomspace(0.1 / len(log_N), 0.5, 60)
    with_SN = np.log(share_S)[:, None] + log_N
    all_SN = np.logaddexp(with_SN, np.log1p(-share_S)[:, None])
    log_S = all_SN.sum(1)
    belief_S = np.exp(log_S - log_S.max())
    found = np.zeros_like(raw_VV)
    found[pairs] = (belief_S / belief_S.sum()) @ np.exp(with_SN - all_SN)
    return np.maximum(found, found.T)


def _log_likelihood(raw_N: np.ndarray, stderr_N: np.ndarray, factor_S: np.ndarray) -> np.ndarray:
    """[N, S]: of each factor, up to a constant of the estimate."""
    z_NS = (raw_N[:, None] - factor_S) / np.maximum(stderr_N, SMALLEST_STDERR)[:, None]
    return -0.5 * z_NS**2


def _log_bayes_factor(raw_N: np.ndarray, stderr_N: np.ndarray) -> np.ndarray:
    """log p(estimate | factor uniform on [0, 1]) - log p(estimate | factor 1)."""
    spoiled_N = logsumexp(_log_likelihood(raw_N, stderr_N, FACTOR_S), axis=1) - np.log(len(FACTOR_S))
    return spoiled_N - _log_likelihood(raw_N, stderr_N, np.ones(1))[:, 0]


def _shrunk(raw: float, stderr: float, probability: float) -> tuple[float, float]:
    """Mean and standard deviation of the factor: 1, or with this probability what the estimate says within [0, 1]."""
    weight_S = softmax(_log_likelihood(np.array([raw]), np.array([stderr]), FACTOR_S)[0])
    mean = weight_S @ FACTOR_S
    variance = weight_S @ (FACTOR_S - mean) ** 2
    kept = 1 - probability * (1 - mean)
    return float(kept), float(np.sqrt(probability * variance + probability * (1 - probability) * (1 - mean) ** 2))
