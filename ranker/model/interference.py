"""What contacts take from each other's effects: fatigue by the contacts of the days before, and products that spoil each other.

With e the calibrated effect that a member expects of a user whom it did not see, earlier contacts held at their average,

    y = m_0 + h' b_o + e_o[a] k^(c - mean c) (s_p + sum_j d_pj f_j) + noise

for outcome o, the logged action a of product p, c contacts of the days before, f_j flags of what else was offered, h = (1, c, f). k and
the factors 1 + d_pj / s_p are the same for all outcomes, so these are stacked, each row by what it tells; what history does to the
outcome without contact goes into b_o. Rows are weighted by stabilised inverse propensities, which makes the action independent of h.
Solved by Gauss-Newton in log k; standard errors by the jackknife over groups of users (outcomes and weeks of a user go together).

Most pairs take nothing from each other. A pair is believed by a mixture: with probability pi both of its directions have factors
uniform on [0, 1], else both are 1; pi is learned from all pairs together, which is what corrects for looking at many (Scott and Berger
2010). Axes: R rows, A actions, O outcomes, V products (values of the attribute), J flags, G groups of users, T coefficients,
F factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from ranker.contact_history import OtherContacts, other_contacts
from ranker.features import Features
from ranker.logs import Logs, StoredLogs
from ranker.model.carryover import Carryover, carryover_of
from ranker.model.ensemble import ValueModel
from ranker.model.examples import Examples, stabilised_weights
from ranker.model.losses import Target
from ranker.model.splits import Splits
from ranker.scores import BASES, Interference, Kept, Pair

GROUPS = 20
ROWS_AT_ONCE = 8_192
WEIGHT_CLIP = 10.0
FEWEST_ROWS = 100  # of a product beside another, to say anything of the pair
SAME_WEEK_ROWS = 1_000  # of a product beside another in one week, to rest on these alone
SCALE_SD = 0.5  # prior of s around 1: effects are calibrated
CHANGE_SD = 3.0  # of d around 0: hardly any
FATIGUE_SD = 0.3  # of log k around 0
STEPS, CLOSE = 6, 1e-3
BELIEVED = 0.5
FACTOR_F = (np.arange(1_000) + 0.5) / 1_000
SMALLEST_STDERR = 2e-3  # the factors above are no finer


@dataclass(frozen=True)
class Finding:
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
class Estimated:
    """What is handed over, what of it features tell of single users, and every pair that was looked at, the most probable first."""

    interference: Interference
    carryover: Carryover | None
    attribute: str
    findings: tuple[Finding, ...]

    def to_json(self) -> dict:
        handed = {**self.interference.to_json(), "pairs": [each.to_json(self.attribute) for each in self.findings]}
        return {**handed, "handed_over": len(self.interference.pairs)}


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
    held = _average_history(logs)
    rows = _rows(model, held, examples, splits, contacts)
    solved = solve(rows)
    count_VJ = np.stack([(rows.flag_RJ[rows.value_R == v] > 0.5).sum(0) for v in range(rows.values)])
    findings = _findings(contacts.values, solved.factor_VJ, solved.factor_stderr_VJ, count_VJ)
    believed = [each for each in findings if each.probability >= BELIEVED]
    pairs = [Pair({attribute: e.where}, {attribute: e.beside}, e.effect, e.basis) for e in believed]
    interference = Interference(contacts.days, solved.fatigue, tuple(pairs))
    carryover = carryover_of(interference, logs.schema.history, model.encoder, held)
    return Estimated(interference, carryover, attribute, tuple(findings))


@dataclass(frozen=True)
class Rows:
    """Contacts of products, and rows without contact (value -1). flag_RJ: offered lately, then in the same week; values in their order.

    response_RO: outcome less what is expected without contact, NaN where not known. lever_RO: expected effect of the logged action.
    precision_RO: what a row tells. group_R: users in GROUPS parts.
    """

    value_R: np.ndarray
    contacts_R: np.ndarray
    flag_RJ: np.ndarray
    response_RO: np.ndarray
    lever_RO: np.ndarray
    precision_RO: np.ndarray
    group_R: np.ndarray
    values: int


def _rows(
    model: ValueModel,
    held: Mapping[str, float],
    examples: Examples,
    splits: Splits,
    contacts: OtherContacts,
) -> Rows:
    value_B = np.append(contacts.value_A, -1)
    of_none_R = examples.action_R == examples.actions
    learn = np.flatnonzero(splits.learn_R & (of_none_R | (value_B[examples.action_R] >= 0)))
    here = examples.take(learn)
    none_RO, lever_RO = _levers(model, held, here, splits.fold_R[learn])
    weight_R = stabilised_weights(here.action_R, here.propensity_R, here.actions, WEIGHT_CLIP)
    response_RO, precision_RO = np.full_like(none_RO, np.nan), np.zeros_like(none_RO)
    for o, target in enumerate(model.targets):
        known, outcome_r, told_r = here.filled(o)
        response_RO[known, o] = outcome_r - none_RO[known, o]
        variance_r = _shape(target, none_RO[known, o] + lever_RO[known, o]) / told_r
        noise_r = (response_RO[known, o] - lever_RO[known, o]) ** 2
        precision_RO[known, o] = weight_R[known] * variance_r.sum() / (variance_r * max(noise_r.sum(), 1e-30))
    mine = contacts.take(learn)
    flags = [mine.lately_RV] + ([mine.same_week_RV.astype(np.float32)] if mine.same_week_RV.any() else [])
    return Rows(
        value_R=value_B[here.action_R],
        contacts_R=mine.contacts_R - mine.contacts_R.mean(),
        flag_RJ=np.concatenate(flags, axis=1),
        response_RO=response_RO,
        lever_RO=lever_RO,
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
    """What all outcomes together say. fatigue: factor of one contact. factor_VJ, factor_stderr_VJ: of each product beside each flag."""

    fatigue: Kept
    factor_VJ: np.ndarray
    factor_stderr_VJ: np.ndarray


def solve(rows: Rows) -> Solved:
    values, flags, outcomes = rows.values, rows.flag_RJ.shape[1], rows.response_RO.shape[1]
    place = _Places(outcomes, values, flags)
    prior_T, center_T = np.full(place.count, 1e-6), np.zeros(place.count)
    prior_T[place.scale], center_T[place.scale] = SCALE_SD**-2, 1.0
    prior_T[place.change] = CHANGE_SD**-2
    prior_T[place.fatigue] = FATIGUE_SD**-2
    start_T, log_kept = center_T, 0.0
    for _ in range(STEPS):
        gram_GTT, moment_GT = _normal_equations(rows, place, start_T, log_kept)
        center_T[place.fatigue] = -log_kept
        whole_TT, whole_T = gram_GTT.sum(0) + np.diag(prior_T), moment_GT.sum(0) + prior_T * center_T
        start_T = np.linalg.solve(whole_TT, whole_T)
        step, log_kept = start_T[place.fatigue], float(np.clip(log_kept + start_T[place.fatigue], -1.5, 0.7))
        if abs(step) < CLOSE:
            break
    left_GT = np.linalg.solve(whole_TT - gram_GTT, (whole_T - moment_GT)[:, :, None])[:, :, 0]
    posterior_T = np.sqrt(np.diag(np.linalg.inv(whole_TT)))
    scale_V = start_T[place.scale]
    factor_GVJ = [place.factor(left_T) for left_T in left_GT]
    jackknife_VJ, informed_VJ = (
        _jackknife(np.stack(factor_GVJ)),
        posterior_T[place.change].reshape(values, flags) / np.abs(scale_V)[:, None],
    )
    stderr = max(float(_jackknife(left_GT[:, place.fatigue])), float(posterior_T[place.fatigue]))
    kept = float(np.exp(log_kept))
    return Solved(Kept(kept, kept * stderr), place.factor(start_T), np.maximum(jackknife_VJ, informed_VJ))


class _Places:
    """Where the coefficients stand: b_o per outcome, s_p, d_pj, and the step in log k."""

    def __init__(self, outcomes: int, values: int, flags: int):
        self.values, self.flags, self.base = values, flags, 2 + flags
        first = outcomes * self.base
        self.scale = slice(first, first + values)
        self.change = slice(first + values, first + values + values * flags)
        self.fatigue = self.change.stop
        self.count = self.fatigue + 1

    def outcome(self, o: int) -> np.ndarray:
        return np.arange(o * self.base, (o + 1) * self.base)

    def product(self, p: int) -> np.ndarray:
        change = self.change.start + p * self.flags
        return np.r_[self.scale.start + p, change : change + self.flags, self.fatigue]

    def factor(self, theta_T: np.ndarray) -> np.ndarray:
        return 1 + theta_T[self.change].reshape(self.values, self.flags) / theta_T[self.scale][:, None]


def _normal_equations(
    rows: Rows, place: _Places, theta_T: np.ndarray, log_kept: float
) -> tuple[np.ndarray, np.ndarray]:
    gram_GTT, moment_GT = np.zeros((GROUPS, place.count, place.count)), np.zeros((GROUPS, place.count))
    order = np.lexsort((rows.group_R, rows.value_R))
    cells = (rows.value_R[order] + 1) * GROUPS + rows.group_R[order]
    ends = np.searchsorted(cells, np.arange((rows.values + 1) * GROUPS + 1))
    for cell in np.flatnonzero(np.diff(ends)):
        p, group = divmod(int(cell), GROUPS)
        here = order[ends[cell] : ends[cell + 1]]
        base_RB = np.column_stack([np.ones(len(here)), rows.contacts_R[here], rows.flag_RJ[here]])
        design_RX, at_X = [base_RB], []
        if p > 0:
            mine = place.product(p - 1)
            tired_R = np.exp(log_kept * rows.contacts_R[here])
            scale_R = rows.flag_RJ[here] @ theta_T[mine[1:-1]] + theta_T[mine[0]]
            own_RX = np.column_stack([np.ones(len(here)), rows.flag_RJ[here], scale_R * rows.contacts_R[here]])
            design_RX, at_X = [base_RB, own_RX * tired_R[:, None]], [mine]
        for o in range(rows.response_RO.shape[1]):
            known = np.isfinite(rows.response_RO[here, o])
            lever_R = rows.lever_RO[here, o][:, None]
            x_RX = np.concatenate([part * (lever_R if n else 1.0) for n, part in enumerate(design_RX)], axis=1)[known]
            at = np.concatenate([place.outcome(o), *at_X])
            weighed_XR = (x_RX * rows.precision_RO[here[known], o][:, None]).T
            gram_GTT[group][np.ix_(at, at)] += weighed_XR @ x_RX
            moment_GT[group][at] += weighed_XR @ rows.response_RO[here[known], o]
    return gram_GTT, moment_GT


def _jackknife(left_G: np.ndarray) -> np.ndarray:
    """Standard error by the delete-a-group jackknife."""
    return np.sqrt((len(left_G) - 1) / len(left_G) * ((left_G - left_G.mean(0)) ** 2).sum(0))


def _findings(
    values: Sequence[object], raw_VJ: np.ndarray, stderr_VJ: np.ndarray, count_VJ: np.ndarray
) -> list[Finding]:
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
            Finding(
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
    log_M = both_VV[pairs]
    if not len(log_M):
        return np.zeros_like(raw_VV)
    share_K = np.geomspace(0.1 / len(log_M), 0.5, 60)
    with_KM = np.log(share_K)[:, None] + log_M
    all_KM = np.logaddexp(with_KM, np.log1p(-share_K)[:, None])
    log_K = all_KM.sum(1)
    belief_K = np.exp(log_K - log_K.max())
    found = np.zeros_like(raw_VV)
    found[pairs] = (belief_K / belief_K.sum()) @ np.exp(with_KM - all_KM)
    return np.maximum(found, found.T)


def _log_likelihood(raw_N: np.ndarray, stderr_N: np.ndarray, factor_F: np.ndarray) -> np.ndarray:
    """[N, F]: of each factor, up to a constant of the estimate."""
    z_NF = (raw_N[:, None] - factor_F) / np.maximum(stderr_N, SMALLEST_STDERR)[:, None]
    return -0.5 * z_NF**2


def _log_bayes_factor(raw_N: np.ndarray, stderr_N: np.ndarray) -> np.ndarray:
    """log p(estimate | factor uniform on [0, 1]) - log p(estimate | factor 1)."""
    spoiled_N = logsumexp(_log_likelihood(raw_N, stderr_N, FACTOR_F), axis=1) - np.log(len(FACTOR_F))
    return spoiled_N - _log_likelihood(raw_N, stderr_N, np.ones(1))[:, 0]


def _shrunk(raw: float, stderr: float, probability: float) -> tuple[float, float]:
    """Mean and standard deviation of the factor: 1, or with this probability what the estimate says within [0, 1]."""
    weight_F = softmax(_log_likelihood(np.array([raw]), np.array([stderr]), FACTOR_F)[0])
    mean = weight_F @ FACTOR_F
    variance = weight_F @ (FACTOR_F - mean) ** 2
    kept = 1 - probability * (1 - mean)
    return float(kept), float(np.sqrt(probability * variance + probability * (1 - probability) * (1 - mean) ** 2))
