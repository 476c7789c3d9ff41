"""How large an effect an experiment finds: `python -m scripts.plan_experiment logs=DIR users=N [effect=2% weeks=4 out=DIR]`."""

from ranker import disk
from scripts.cli import entry
from scripts.cli.settings import PlanExperimentSettings
from scripts.formats.plan import PLAN, ExperimentPlan
from scripts.judging.planning import plan_inputs, planned
from scripts.pages.plan_experiment import show_plan
from scripts.runs import stage


def run(settings: PlanExperimentSettings) -> ExperimentPlan:
    """The plan, written to `out` where one is named."""
    found = planned(settings)
    if (out := settings.paths.out) is not None:
        with stage.write(out, "plan_experiment", plan_inputs(settings), {"plan": settings.plan}) as made:
            disk.write_text(made / PLAN, found.text())
    return found


def main(settings: PlanExperimentSettings) -> None:
    show_plan(run(settings))


if __name__ == "__main__":
    entry.main("plan_experiment", PlanExperimentSettings, main)
