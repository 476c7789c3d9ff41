"""Training as a command: what the parts found out arrives in the model that is saved."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from ranker.logs import write_logs
from ranker.model.artifact import load_model
from ranker.model.carryover import Carryover
from ranker.model.fit import Fit
from ranker.model.interference import Estimated, grown
from ranker.model.lending import LEAST_DOUBT
from ranker.scores import Interference, Kept
from scripts import train
from scripts.command import validated
from scripts.settings import TrainSettings
from tests.ranker.worlds import SCHEMA, make_world


def test_what_history_tells_is_in_the_model_and_no_longer_in_its_doubt(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if streams were contacts, each of which leaves half of an effect: whatever the estimate says, training follows it."""
    world = make_world(2_000, np.random.default_rng(3))
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [world.logs.frame.assign(user_id=np.arange(2_000))])
    found = Estimated(Interference(28, Kept(0.5, 0.01), ()), Carryover("streams", 1.6, 0.5, ()), "product", ())
    made: list[Fit] = []

    def fitted(*given: object) -> Fit:
        made.append(fit(*given))
        return made[0]

    fit = train.fit
    monkeypatch.setattr(train, "fit", fitted)
    monkeypatch.setattr(train, "estimate", lambda *given: found)
    paths = [f"paths.{name}='{tmp_path / name}'" for name in ("model", "logs", "runs")]
    result = train.run(validated(TrainSettings, composed(*paths, "fit.max_epochs=1", "model.members=2")))
    pairs = [(target.name, action["id"]) for target in made[0].model.targets for action in world.logs.actions]
    told = {(each["outcome"], each["action"]): each["reliability"] for each in result.evaluation["reliability"]}
    assert list(told) == pairs
    assert all(0 <= known < 1 for known in told.values())
    model, _ = load_model(tmp_path / "model")
    assert model.interference == found.interference
    assert model.carryover == found.carryover
    left_CA = model.doubt_CA / made[0].model.doubt_CA
    assert (left_CA > LEAST_DOUBT - 1e-6).all()
    assert left_CA.mean() < 0.9


def test_the_model_does_not_depend_on_the_threads_of_its_surroundings(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    world = make_world(2_000, np.random.default_rng(3))
    (tmp_path / "logs").mkdir()
    write_logs(tmp_path / "logs", SCHEMA, world.logs.actions, [world.logs.frame.assign(user_id=np.arange(2_000))])
    words = ["-m", "scripts.train", "debug=tiny", "fit.max_epochs=1", "model.members=2", f"logs={tmp_path}/logs"]
    for count in ("1", "2"):
        called = call(*words, f"model={tmp_path}/{count}", OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count)
        assert called.returncode == 0, called.stderr
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_what_contacts_add_is_printed_outcome_by_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    found = Estimated(Interference(28, Kept(0.82, 0.01), ()), None, "product", (), (grown("opt_out", 0.09, 0.03),))
    train.show_interference(found.to_json())
    fatigue, growth = (line for line in capsys.readouterr().out.splitlines() if "±" in line)
    assert "82% ± 1%" in fatigue
    assert growth.split()[0] == "opt_out"
    assert "+0.090 ± 0.030" in growth
    train.show_interference(Estimated(Interference(28, None, ()), None, "product", ()).to_json())
    assert "adds" not in capsys.readouterr().out
