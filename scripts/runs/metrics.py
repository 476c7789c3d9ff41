"""What MLflow charts of a week: the figures of a certificate, an evaluation, a readout and a regret by name."""

import math
from collections.abc import Mapping

from scripts.formats.readout import Readout
from scripts.formats.regret import Regret


def certificate_metrics(certificate: Mapping[str, object]) -> dict[str, float]:
    """value, bound, gap, contacts ... and `constraint/ID/achieved|slack|price` of a certificate."""
    metrics = {name: certificate.get(name) for name in ("value", "bound", "gap", "contacts", "users")}
    passes = certificate.get("passes")
    metrics |= (
        {f"passes/{name}": count for name, count in passes.items()}
        if isinstance(passes, Mapping)
        else {"passes": passes}
    )
    greedy = certificate.get("greedy") or {}
    metrics["greedy/value"] = greedy.get("value")
    for name, entry in (certificate.get("metrics") or {}).items():
        metrics[f"total/{name}"] = entry.get("total")
    for entry in constraints_of(certificate):
        for part in ("achieved", "slack", "price"):
            metrics[f"constraint/{entry['id']}/{part}"] = entry.get(part)
    return _numbers(metrics)


def constraints_of(certificate: Mapping[str, object]) -> list[Mapping]:
    """The constraints of a certificate, whether they stand as a list or under their ids."""
    held = certificate.get("constraints") or []
    if isinstance(held, Mapping):
        return [{"id": name, **entry} for name, entry in held.items()]
    return list(held)


def evaluation_metrics(evaluation: Mapping[str, object]) -> dict[str, float]:
    """Off-policy values, Qini and calibration of an evaluation.json."""
    metrics: dict[str, object] = {f"rows/{name}": rows for name, rows in (evaluation.get("rows") or {}).items()}
    for each in evaluation.get("policies") or ():
        place = f"policy/{each.get('name')}/{each.get('outcome')}/{each.get('estimator')}"
        metrics |= {f"{place}/value": each.get("value"), f"{place}/stderr": each.get("stderr")}
    for each in evaluation.get("qini") or ():
        metrics[f"qini/{each.get('model')}/{each.get('outcome')}/{_flat(each.get('action'))}"] = each.get("qini")
    for each in evaluation.get("calibration") or ():
        place = f"calibration/{each.get('outcome')}/{_flat(each.get('action'))}"
        metrics |= {f"{place}/slope": each.get("slope"), f"{place}/slope_stderr": each.get("stderr")}
    if "unidentified" in evaluation:
        metrics["actions/unidentified"] = len(evaluation["unidentified"])
    for each in evaluation.get("reliability") or ():
        metrics[f"reliability/{each['outcome']}/{_flat(each['action'])}"] = each["reliability"]
    return _numbers(metrics)


def held_out_metrics(evaluation: Mapping[str, object]) -> dict[str, float]:
    """Values, budgets, Qini and calibration of the evaluation.json that `scripts.evaluate` writes."""
    metrics: dict[str, object] = dict(evaluation_metrics(evaluation))
    for each in (evaluation.get("allocated") or {}).get("policies") or ():
        place = f"allocated/{each['name']}/{each['outcome']}/{each['estimator']}"
        metrics |= {f"{place}/{part}": each[part] for part in ("value", "stderr", "effective_sample_size")}
    for each in evaluation.get("promised") or ():
        metrics |= {
            f"promised/{each['outcome']}": each["predicted"],
            f"realised/{each['outcome']}": each["realised"]["value"],
        }
    for each in evaluation.get("budgets") or ():
        metrics[f"budgets/{each['name']}/{each['outcome']}"] = each["mean_over_budgets"]["value"]
    for each in evaluation.get("qini") or ():
        metrics[f"auuc/{each['model']}/{each['outcome']}/{_flat(each['action'])}"] = each["auuc"]
    for each in evaluation.get("calibration_pooled") or ():
        for part in ("users", "actions"):
            place = f"held_out_slope/{each['outcome']}/{part}"
            metrics |= {place: each[part]["value"], f"{place}/stderr": each[part]["stderr"]}
    return _numbers(metrics)


def readout_metrics(found: Readout) -> dict[str, float]:
    """`lift/OUTCOME`, its stderr and what was promised, the sample ratio's p-value and the verdict of a readout.json."""
    metrics: dict[str, object] = {"ship": float(found.verdict.ship), "sample_ratio/p_value": found.sample_ratio.p_value}
    for each in found.metrics:
        if each.lift is not None:
            adjusted = each.lift.adjusted
            metrics |= {f"lift/{each.name}": adjusted.value, f"lift/{each.name}/stderr": adjusted.stderr}
            metrics |= {f"promised/{each.name}": each.promised, f"detectable/{each.name}": each.detectable}
    return _numbers(metrics)


def truth_metrics(regret: Regret) -> dict[str, float]:
    """`truth/POLICY/value|share_of_oracle|regret|regret_stderr` of a regret.json."""
    parts = ("value", "share_of_oracle", "regret", "regret_stderr")
    return _numbers({f"truth/{each.policy}/{part}": getattr(each, part) for each in regret.policies for part in parts})


def training_curves(evaluation: Mapping[str, object]) -> dict[str, list[tuple[int, float]]]:
    """Losses by epoch of an evaluation.json."""
    curve = (evaluation.get("training") or {}).get("curve") or ()
    return {
        f"loss/{part}": [
            (int(point["epoch"]), point[part]) for point in curve if point.get(part) is not None and "epoch" in point
        ]
        for part in ("train", "validation")
    }


def _flat(action: object) -> str:
    return str(action).replace("/", ":")


def _numbers(metrics: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
