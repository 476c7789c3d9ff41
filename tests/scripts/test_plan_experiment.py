"""A plan from logs: figures of pandas beside it, effects of a what-if, and what is wrong told together."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from ranker.files import InputError
from ranker.log_schema import LogSchema, Outcome
from ranker.logs import write_logs
from scripts import plan_experiment
from scripts.cli.entry import validated
from scripts.cli.settings import PlanExperimentSettings
from scripts.formats.plan import PLAN, ExperimentPlan

USERS, WEEKS = 300, 3


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Listeners of five markets, each three weeks, with an outcome that is partly their own."""
    generator = np.random.default_rng(1)
    out = tmp_path_factory.mktemp("plan") / "logs"
    out.mkdir()
    user = np.tile(np.arange(USERS), WEEKS)
    own = generator.normal(0, 1, USERS)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "as_of": np.repeat(pd.to_datetime(["2026-10-05", "2026-10-12", "2026-10-19"]), USERS),
            "action": np.where(generator.random(len(user)) < 0.5, "a", "none"),
            "propensity": 0.5,
            "market": np.array(["SE", "NO", "DE", "FR", "US"])[user % 5],
            "spend": 3 + own[user] + generator.normal(0, 1, len(user)),
        }
    )
    schema = LogSchema(numeric=(), categorical=("market",), outcomes=(Outcome("spend", "real", "EUR"),), none="none")
    write_logs(out, schema, [{"id": "a", "slot": "s"}], [frame])
    return out


@pytest.fixture
def planned(composed: Callable[..., DictConfig], logs: Path) -> Callable[..., ExperimentPlan]:
    def run(*words: str) -> ExperimentPlan:
        return plan_experiment.run(validated(PlanExperimentSettings, composed(f"paths.logs={logs}", *words)))

    return run


def test_figures_are_those_of_the_logs(planned: Callable[..., ExperimentPlan], logs: Path, tmp_path: Path) -> None:
    words = ("plan.users=1000", "plan.share=0.2", "plan.weeks=2", "plan.effect=10%", f"paths.out={tmp_path / 'plan'}")
    found = planned(*words)
    frame = pd.read_parquet(next(logs.glob("*.parquet")))
    (spend,) = found.outcomes
    assert spend.mean == pytest.approx(frame["spend"].mean())
    assert spend.deviation == pytest.approx(frame["spend"].std())
    assert spend.again == pytest.approx(0.5, abs=0.1), "half of the variance is the listener's own"
    error = frame["spend"].std() * np.sqrt((1 / 200 + 1 / 800) / 2)
    assert spend.smallest == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    assert spend.relative == pytest.approx(spend.smallest / spend.mean)
    assert spend.effect == pytest.approx(0.1 * spend.mean)
    assert spend.weeks == int(np.ceil(2 * (spend.smallest / spend.effect) ** 2))
    assert ExperimentPlan.from_file(tmp_path / "plan" / PLAN) == found


def test_whole_markets_and_lasting_arms_need_more(planned: Callable[..., ExperimentPlan]) -> None:
    def smallest(*words: str) -> float | None:
        return planned("plan.users=1000", "plan.share=0.4", "plan.weeks=4", *words).outcomes[0].smallest

    alone = smallest()
    assert smallest("plan.lasting=true") == pytest.approx(alone * np.sqrt(1 + 3 * 0.5), rel=0.05)
    assert smallest("plan.groups=market") >= alone * 0.99
    assert smallest("plan.groups=market", "plan.share=0.3") is None, "one and a half markets"


def test_a_what_if_says_which_effects_are_asked_about(
    planned: Callable[..., ExperimentPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        users = 1_000
        difference = type("D", (), {"metrics": {"spend": type("M", (), {"mean": -50.0})}})

    monkeypatch.setattr("scripts.judging.planning.WhatIf.from_file", lambda path: Found)
    found = planned(f"paths.what_if={tmp_path}")
    assert (found.share, found.arms) == (0.5, "one policy against another")
    assert found.outcomes[0].effect == 0.05


def test_what_is_wrong_is_told(planned: Callable[..., ExperimentPlan], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'visits' is none of the logs; there is spend"):
        planned("plan.outcome=visits")
    with pytest.raises(InputError, match="'genre' is no text feature of the logs; there is market"):
        planned("plan.groups=genre")
    with pytest.raises(InputError, match=r"plan\.effect: is '2q'"):
        planned("plan.effect=2q")
    (tmp_path / "readout.json").write_text(json.dumps({"day": 5}))
    with pytest.raises(InputError, match=r"readout\.json"):
        planned(f"paths.readout={tmp_path}")
