"""What an allocation would have earned, from held-out logs: `python -m scripts.judge allocation=DIR logs=DIR [model=DIR]`."""

from pathlib import Path

import numpy as np

from ranker.evaluate.allocated import AllocationVerdict, best_in_logs, judge_allocation, read_allocation
from ranker.evaluate.off_policy import Estimate
from ranker.logs import Logs, read_logs
from ranker.model.artifact import load_model
from scripts.cli import entry
from scripts.cli.settings import JudgeSettings


def run(settings: JudgeSettings) -> tuple[str, list[AllocationVerdict]]:
    """The action given to all that the allocation is compared with (the best of the logs), and the verdicts."""
    paths = settings.paths
    with entry.naming(logs=paths.logs, allocation=paths.allocation):
        logs, allocation = read_logs(paths.logs).complete, read_allocation(paths.allocation)
        fixed = best_in_logs(logs)
        expected = None if paths.model is None else _expected(paths.model, logs)
        return fixed, judge_allocation(allocation, logs, fixed, expected)


def _expected(path: Path, logs: Logs) -> dict[str, np.ndarray]:
    """Outcome -> [R, A + 1], from a model that was trained on other users."""
    model, _ = load_model(path)
    effects = model.for_actions(logs.actions).effects(model.encoder.encode(logs.frame))
    return {name: np.column_stack([e.none_U[:, None] + e.mean_UA, e.none_U]) for name, e in effects.items()}


def main(settings: JudgeSettings) -> None:
    fixed, verdicts = run(settings)
    columns = ("outcome", "estimator", "allocation", f"{fixed} to all", "- that", "- nothing", "- as many at random")
    rows = [
        (
            v.outcome,
            v.estimator,
            *(_figure(e) for e in (v.value, v.fixed, v.against_fixed, v.against_none, v.against_random)),
        )
        for v in verdicts
    ]
    entry.show_table("Per user, on held-out logs (± standard error)", columns, rows)


def _figure(estimate: Estimate) -> str:
    return f"{estimate.value:.5f} ± {estimate.stderr:.5f}"


if __name__ == "__main__":
    entry.main("judge", JudgeSettings, main)
