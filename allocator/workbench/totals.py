"""What a sampled policy gives and two of them differ by, with the errors of sampling, of the optimiser and of the scores.

The error that the optimiser leaves open: an allocation within the wanted gap of the best need not use a binding bound to the last unit.
With a price p it may leave gap * value / p of it unused, which moves every other sum by its slope.

Axes: U users of the sample, F sums, R rows, A actions, P planes, S user classes, N contacts, H strata.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from allocator.certify.certificate import unit_of
from allocator.constraints import CompiledConstraint, attribute_of
from allocator.errors_of_sums import ErrorModel
from allocator.users import NONE
from allocator.workbench.answers import Cell, ConstraintAnswer, DifferenceAnswer, MeanAndError, PolicyAnswer
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.sample import Sample
from allocator.workbench.sums import CONTACTS, VALUE, Name

LEAST = 1e-12
SEEN_TO_MOVE = 0.5
"""Of the users who must move for so many more or fewer contacts: with fewer, the others are among users who tie."""


def policy_answer(found: SampledPolicy, gap: float) -> PolicyAnswer:
    """gap: that an allocation of all users is asked for, relative to its value."""
    metrics = [name for kind, name in found.sums.names if kind == "metric"]
    return PolicyAnswer(
        value=found.sums.total(VALUE),
        value_se=_error(found, VALUE, gap),
        value_model_se=model_error(found, None),
        contacts=found.sums.total(CONTACTS),
        contacts_se=_error(found, CONTACTS, gap),
        metrics={name: found.sums.total(("metric", name)) for name in metrics},
        metrics_se={name: _error(found, ("metric", name), gap) for name in metrics},
        metrics_model_se={name: model_error(found, name) for name in metrics},
        constraints={
            each.rule.id: _constraint(found, place, each, gap) for place, each in enumerate(found.problem.measured)
        },
    )


def value_estimate(found: SampledPolicy, gap: float) -> MeanAndError:
    """The value of a policy."""
    return MeanAndError(mean=found.value, se=_error(found, VALUE, gap))


def _error(found: SampledPolicy, name: Name, gap: float) -> float:
    """Of sampling and of the optimiser together."""
    sampling = found.sample.stderr_of_sums(found.sums.residual(name)[:, None])[0]
    return float(np.hypot(sampling, _left_open(found, name, gap)))


def _left_open(found: SampledPolicy, name: Name, gap: float) -> float:
    if name == VALUE:
        return gap * abs(found.value)
    unused_R = unused(found, gap)
    return float(np.sqrt(((found.sums.slope(name) * unused_R) ** 2).sum()))


def unused(found: SampledPolicy, gap: float) -> np.ndarray:
    """float64[R]: how much of each binding bound an allocation within the gap may leave unused, at most a contact's use or the bound."""
    price_R, limit_R = found.price_R, np.abs(found.problem.rows.limit_R)
    open_R = gap * abs(found.value) / np.maximum(price_R, LEAST)
    return np.where(price_R > 0, np.minimum(open_R, np.maximum(limit_R, 1.0)), 0.0)


def _constraint(found: SampledPolicy, place: int, each: CompiledConstraint, gap: float) -> ConstraintAnswer:
    achieved, residual_U = found.sums.quotient(place)
    binding, price = found.binding(place)
    over = 1.0
    if each.denominator is not None:
        over = abs(found.sums.total(("denominator", str(place))))
    error = float(found.sample.stderr_of_sums(residual_U[:, None])[0])
    open_ = _left_open(found, ("numerator", str(place)), gap) / max(over, LEAST)
    return ConstraintAnswer(
        kind=each.rule.kind,
        label=each.rule.label,
        unit=unit_of(found.problem, each),
        min=each.low,
        max=each.high,
        achieved=achieved,
        se=float(np.hypot(error, open_)),
        binding=binding,
        price=price * over,
    )


def model_error(found: SampledPolicy, metric: str | None, base: SampledPolicy | None = None) -> float | None:
    """The standard error of a metric's total, or of the value, by the scores' own errors; of what `base` differs from it, if given."""
    catalogue, problem = found.problem.catalogue, found.problem
    planes = [plane for kind, plane in problem.planes if kind == "stderr"]
    weights: dict[str, np.ndarray] = {}
    for term in problem.policy.objective if metric is None else ():
        if term.metric is not None:
            weight_A = term.weight * attribute_of(term.times, catalogue)
            weights[term.metric] = weights.get(term.metric, np.zeros(len(weight_A))) + weight_A
    if metric is not None:
        weights[metric] = np.ones(len(catalogue.actions))
    if not weights or any(name not in planes for name in weights):
        return None
    loads = {}
    for name, weight_A in weights.items():
        position = problem.planes.index(("stderr", name))
        load_A = _load(found, position)
        loads[name] = weight_A * (load_A if base is None else load_A - _load(base, position))
    return ErrorModel(catalogue.error_correlation, catalogue.error_group_A).stderr_of(loads)


def _load(found: SampledPolicy, position: int) -> np.ndarray:
    user_N, action_N = found.contacts
    amount_N = found.data.planes_UPA[user_N, position, action_N] * found.sample.weight_U[user_N]
    return np.bincount(action_N, amount_N, len(found.problem.catalogue.actions))


@dataclass(frozen=True)
class Compared:
    """Two policies on one sample. moved_U: bool, users whose contacts differ."""

    base: SampledPolicy
    new: SampledPolicy

    @property
    def moved_U(self) -> np.ndarray:
        return moved(self.base, self.new)

    def of(self, name: Name, gap: float) -> MeanAndError:
        """How much a sum differs."""
        residual_U = self.new.sums.residual(name) - self.base.sums.residual(name)
        sampling = self.new.sample.stderr_of_sums(residual_U[:, None])[0]
        same = self.new.policy.digest == self.base.policy.digest
        left = 0.0 if same else np.hypot(_left_open(self.base, name, gap), _left_open(self.new, name, gap))
        return MeanAndError(
            mean=self.new.sums.total(name) - self.base.sums.total(name), se=float(np.hypot(sampling, left))
        )

    def answer(self, gap: float) -> DifferenceAnswer:
        metrics = [name for kind, name in self.base.sums.names if kind == "metric"]
        return DifferenceAnswer(
            value=self.of(VALUE, gap),
            contacts=self.of(CONTACTS, gap),
            metrics={name: self.of(("metric", name), gap) for name in metrics},
            users_moved=self._moved(),
        )

    def _moved(self) -> MeanAndError:
        sample, moved_U = self.new.sample, self.moved_U.astype(float)
        contacts = abs(self.new.sums.total(CONTACTS) - self.base.sums.total(CONTACTS))
        least = contacts / self.new.slate_UK.shape[1]  # where users tie, who is moved is not in their slates
        mean = float(sample.weight_U @ moved_U)
        error = float(sample.stderr_of_sums(moved_U[:, None])[0])
        return MeanAndError(mean=least if mean < SEEN_TO_MOVE * least else mean, se=error)

    def cells(self) -> tuple[Cell, ...]:
        """By how many contacts each product on each surface differs, for everybody and by every segment value."""
        catalogue, sample = self.new.problem.catalogue, self.new.sample
        product_A = [str(action.get("product", action["id"])) for action in catalogue.actions]
        surface_A = [str(action.get("surface", action.get("slot", ""))) for action in catalogue.actions]
        pairs = list(dict.fromkeys(zip(product_A, surface_A, strict=True)))
        pair_A = np.array([pairs.index(pair) for pair in zip(product_A, surface_A, strict=True)])
        each_UC = _counts(self.new, pair_A, len(pairs)) - _counts(self.base, pair_A, len(pairs))
        user_N, pair_N = np.nonzero(each_UC)
        amount_N, found = each_UC[user_N, pair_N], []
        for segment, values, code_U in _by_segments(sample):
            cell_N, cells = pair_N * len(values) + code_U[user_N], len(pairs) * len(values)
            sum_C = np.bincount(cell_N, amount_N * sample.weight_U[user_N], cells)
            error_C = sample.stderr_of_few(user_N, cell_N, amount_N, cells)
            for cell in np.unique(cell_N):
                (product, surface), value = pairs[cell // len(values)], values[cell % len(values)]
                contacts = MeanAndError(mean=float(sum_C[cell]), se=float(error_C[cell]))
                found.append(
                    Cell(product=product, surface=surface, segment=segment, segment_value=value, contacts=contacts)
                )
        return tuple(found)


def moved(base: SampledPolicy, new: SampledPolicy) -> np.ndarray:
    """bool[U]: users whose contacts, as a set, differ."""
    width = max(base.slate_UK.shape[1], new.slate_UK.shape[1])
    return (_sorted(base.slate_UK, width) != _sorted(new.slate_UK, width)).any(axis=1)


def _sorted(slate_UK: np.ndarray, width: int) -> np.ndarray:
    wide_UK = np.full((len(slate_UK), width), NONE, slate_UK.dtype)
    wide_UK[:, : slate_UK.shape[1]] = slate_UK
    return np.sort(wide_UK, axis=1)


def _counts(found: SampledPolicy, pair_A: np.ndarray, pairs: int) -> np.ndarray:
    user_N, action_N = found.contacts
    cell_N = user_N * pairs + pair_A[action_N]
    return np.bincount(cell_N, minlength=len(found.sample) * pairs).reshape(-1, pairs).astype(float)


def _by_segments(sample: Sample) -> Iterator[tuple[str, Sequence[str], np.ndarray]]:
    """Everybody, and then every segment: its name, its values, and int[U] which of them each user has."""
    yield "", ("",), np.zeros(len(sample), np.int64)
    for name, code_U in sample.segments.items():
        yield name, sample.scores.vocabulary[name], code_U
