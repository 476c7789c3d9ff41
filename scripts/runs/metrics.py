"""What MLflow charts of a week: the figures of a certificate, an evaluation, a drift, gates, a readout and a regret by name."""

import math
from collections.abc import Mapping

from allocator.formats import Certificate
from ranker.evaluate.records import HeldOutEvaluation, ModelEvaluation
from ranker.normal import Z90
from scripts.formats.drift import DriftRecord
from scripts.formats.gates import OVERRIDDEN, REFUSED, GatesRecord
from scripts.formats.readout import Readout
from scripts.formats.regret import Regret
from scripts.formats.rehearsal import Rehearsal

JUDGED_BY = "DR"
"""The estimator by which models are charted."""


def certificate_metrics(held: Certificate) -> dict[str, float]:
    """value, its interval, bound, gap, contacts ... and `constraint/ID/min|max|achieved|se|slack|price` of a certificate,
    rules that bind first."""
    metrics: dict[str, object] = {name: getattr(held, name) for name in ("value", "bound", "gap", "contacts", "users")}
    counted = held.passes if isinstance(held.passes, Mapping) else {}
    metrics |= {f"passes/{name}": count for name, count in counted.items()}
    metrics["greedy/value"] = None if held.greedy is None else held.greedy.value
    metrics |= {"value/se": held.value_se} | _interval("value", held.value, held.value_se)
    for name, each in held.metrics.items():
        place = f"total/{name}"
        metrics |= {place: each.total, f"{place}/se": each.se} | _interval(place, each.total, each.se)
    metrics["reach"] = next((each.users for each in held.funnel if each.stage == "allocated"), None)
    for constraint in sorted(held.constraints, key=lambda each: each.binding is None):
        parts = ("min", "max", "achieved", "se", "slack", "price")
        metrics |= {f"constraint/{constraint.id}/{part}": getattr(constraint, part) for part in parts}
    return _numbers(metrics)


def evaluation_metrics(found: ModelEvaluation | HeldOutEvaluation) -> dict[str, float]:
    """Rows, doubly robust values and pooled slopes of either evaluation.json; what there is per action stands in `evaluation_tables`."""
    metrics: dict[str, object] = {f"rows/{name}": rows for name, rows in found.rows.content().items()}
    metrics["actions/unidentified"] = len(found.unidentified)
    for pooled in found.calibration_pooled:
        for part, slope in (("users", pooled.users), ("actions", pooled.actions)):
            place = f"held_out_slope/{pooled.outcome}/{part}"
            metrics |= {place: slope.value, f"{place}/stderr": slope.stderr}
    for each in found.policies:
        if each.estimator == JUDGED_BY:
            place = f"policy/{each.name}/{each.outcome}/{each.estimator}"
            metrics |= {f"{place}/value": each.value, f"{place}/stderr": each.stderr}
    return _numbers(metrics)


def evaluation_tables(found: ModelEvaluation | HeldOutEvaluation) -> dict[str, list[dict[str, object]]]:
    """By name the tables of either evaluation.json: every policy by every estimator, and what there is per action."""
    policies = [
        _flat_row(each, "name", "outcome", "estimator", "value", "stderr", "low", "high") for each in found.policies
    ]
    qini = [
        _flat_row(each, "model", "outcome", "action", "qini", "stderr", "auuc", "average", "rows")
        for each in found.qini
    ]
    slopes = [
        _flat_row(each, "outcome", "action", "slope", "stderr", "average_effect", "average_effect_stderr")
        for each in found.calibration
    ]
    reliability = [_flat_row(each, "outcome", "action", "reliability", "average") for each in found.reliability]
    tables = {"policies": policies, "qini": qini, "calibration": slopes, "reliability": reliability}
    return {name: rows for name, rows in tables.items() if rows}


def certificate_tables(held: Certificate) -> dict[str, list[dict[str, object]]]:
    """The table of all rules: bounds, what was achieved, slack, price."""
    parts = ("id", "kind", "label", "owner", "min", "max", "achieved", "se", "slack", "binding", "price", "multiplier")
    rows = [_flat_row(each, *parts) for each in held.constraints]
    return {"constraints": rows} if rows else {}


def _flat_row(record: object, *names: str) -> dict[str, object]:
    return {name: getattr(record, name) for name in names}


def held_out_metrics(found: HeldOutEvaluation) -> dict[str, float]:
    """Values, budgets, Qini and calibration of the evaluation.json that `scripts.evaluate` writes."""
    metrics: dict[str, object] = dict(evaluation_metrics(found))
    for each in () if found.allocated is None else found.allocated.policies:
        place, parts = (
            f"allocated/{each.name}/{each.outcome}/{each.estimator}",
            ("value", "stderr", "effective_sample_size"),
        )
        metrics |= {f"{place}/{part}": getattr(each, part) for part in parts}
    for gain in found.promised:
        metrics |= {f"promised/{gain.outcome}": gain.predicted, f"realised/{gain.outcome}": gain.realised.value}
    for curve in found.budgets:
        metrics[f"budgets/{curve.name}/{curve.outcome}"] = curve.mean_over_budgets.value
    return _numbers(metrics)


def readout_metrics(found: Readout) -> dict[str, float]:
    """`lift/OUTCOME`, its stderr and what was promised, the sample ratio's p-value and the verdict of a readout.json."""
    metrics: dict[str, object] = {"ship": float(found.verdict.ship), "sample_ratio/p_value": found.sample_ratio.p_value}
    guarded = {each.name for each in found.metrics if each.margin is not None}
    for condition in found.verdict.conditions:
        if condition.metric in guarded:
            metrics[f"guardrail_broken/{condition.metric}"] = float(not condition.met)
    for each in found.metrics:
        if each.lift is not None:
            adjusted = each.lift.adjusted
            metrics |= {f"lift/{each.name}": adjusted.value, f"lift/{each.name}/stderr": adjusted.stderr}
            metrics |= {f"promised/{each.name}": each.promised, f"detectable/{each.name}": each.detectable}
    return _numbers(metrics)


def rehearsal_metrics(found: Rehearsal) -> dict[str, float]:
    """`held_out/KIND/NAME/promised|realised|stderr` of a rehearsal.json."""
    metrics: dict[str, object] = {}
    for each in found.amounts:
        place = f"held_out/{each.kind}/{each.name}"
        metrics |= {f"{place}/promised": each.promised, f"{place}/promised_stderr": each.promised_stderr}
        metrics |= {f"{place}/realised": each.realised.value, f"{place}/stderr": each.realised.stderr}
    return _numbers(metrics)


def truth_metrics(regret: Regret) -> dict[str, float]:
    """`truth/POLICY/value|share_of_oracle|regret|regret_stderr` of a regret.json."""
    parts = ("value", "share_of_oracle", "regret", "regret_stderr")
    return _numbers({f"truth/{each.policy}/{part}": getattr(each, part) for each in regret.policies for part in parts})


def drift_metrics(found: DriftRecord) -> dict[str, float]:
    """Flat, and few: of each table its rows next to last week's, and the largest size of each kind among its columns."""
    metrics = {"drift/left_out": float(sum(found.left_out.values()))}
    for table in found.tables:
        place = f"drift/{table.table.replace(' ', '_')}"
        metrics[f"{place}/rows_ratio"] = table.rows / table.rows_before if table.rows_before else 0.0
        for kind in ("shift", "psi", "moved", "missing"):
            sizes = [abs(size) for each in table.columns if (size := getattr(each, kind)) is not None]
            if sizes:
                metrics[f"{place}/largest_{kind}"] = float(max(sizes))
        metrics[f"{place}/unseen_values"] = float(sum(len(each.unseen) for each in table.columns))
    return metrics


def drift_points(found: DriftRecord) -> dict[str, float]:
    """Of these, the few that are charted over weeks: how far listeners and effects moved at most."""
    kept = ("drift/scored_users/largest_shift", "drift/scores/largest_shift")
    return {name: size for name, size in drift_metrics(found).items() if name in kept}


def drift_tables(found: DriftRecord) -> dict[str, list[dict[str, object]]]:
    """Every column of every table, what moved most first."""
    parts = ("column", "shift", "psi", "moved", "missing", "known")
    rows = [
        {"table": table.table, **_flat_row(each, *parts), "unseen_values": len(each.unseen)}
        for table in found.tables
        for each in sorted(table.columns, key=lambda each: -each.size)
    ]
    return {"drift": rows} if rows else {}


def gate_metrics(found: GatesRecord) -> dict[str, float]:
    """How many findings refused the week, and how many somebody overrode."""
    return {
        "gates/refused": float(len(found.of(REFUSED))),
        "gates/overridden": float(len(found.of(OVERRIDDEN))),
    }


def gate_tables(found: GatesRecord) -> dict[str, list[dict[str, object]]]:
    """Every finding, as in gates.json."""
    parts = ("gate", "about", "unit", "found", "compared", "limit", "week", "status", "sentence")
    return {"gates": [_flat_row(each, *parts) for each in found.findings]}


def training_curves(found: ModelEvaluation) -> dict[str, list[tuple[int, float]]]:
    """Losses by epoch."""
    curve = found.training.curve
    losses = {
        "train": [(point.epoch, point.train) for point in curve],
        "validation": [(point.epoch, point.validation) for point in curve],
    }
    return {
        f"loss/{part}": [(epoch, loss) for epoch, loss in points if loss is not None] for part, points in losses.items()
    }


def _interval(place: str, value: float, stderr: float | None) -> dict[str, object]:
    """The ends of the 90 % interval of an estimate."""
    return {} if stderr is None else {f"{place}/low90": value - Z90 * stderr, f"{place}/high90": value + Z90 * stderr}


def _numbers(metrics: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
