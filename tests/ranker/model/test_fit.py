"""Training by several processes and on devices: the same as by one, nothing left behind, and a word where a device is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from ranker.model.fit import _DeepTraining, fit
from ranker.model.network import ValueNet
from ranker.model.settings import FitSettings, ModelSettings
from ranker.scores import InputError


@pytest.mark.slow
def test_two_processes_learn_what_one_does(worlds, tmp_path) -> None:
    """The log odds depend on a product of signs, which the deep path alone can say; rows are read from files by both."""
    generator = np.random.default_rng(3)
    made = worlds.make_world(12_000, generator, average=0.0, varying=0.0).logs
    together_R = np.sign(made.frame["age"].to_numpy() * np.log(made.frame["streams"].to_numpy()))
    subs_R = (generator.random(len(made)) < 1 / (1 + np.exp(1.0 - 0.8 * together_R))).astype(float)
    logs = replace(made, frame=made.frame.assign(subs=subs_R, revenue=7.0 * subs_R))
    lowest = []
    for devices in (1, 2):
        (tmp_path / str(devices)).mkdir()
        fitting = FitSettings(max_epochs=8, accelerator="cpu", devices=devices)
        fitted = fit(
            logs, ModelSettings(members=2, hidden=(16,), dropout=0.0), fitting, 0, folder=tmp_path / str(devices)
        )
        assert all(min(curve.validation) < curve.linear - 0.01 for curve in fitted.curves)
        assert fitted.model.members[0].deep_C.any()
        lowest.append([min(curve.validation) for curve in fitted.curves])
    np.testing.assert_allclose(*lowest, atol=0.005)


def test_no_thread_of_a_process_group_outlives_training() -> None:
    """One that does may abort its process at the very end, when it lets go of a tensor."""
    network = ValueNet(ModelSettings(hidden=(4,)), width=3, channels=2, values=2)
    training = _DeepTraining(network, ["logit", "identity"], 0, torch.eye(2), 10, FitSettings())
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    dist.all_reduce(torch.ones(2))
    assert _threads_of("gloo")
    training.teardown("fit")
    assert not dist.is_initialized()
    assert not _threads_of("gloo")
    training.teardown("fit")  # where there was no group


def _threads_of(name: str) -> list[str]:
    return [told for told in (path.read_text() for path in Path("/proc/self/task").glob("*/comm")) if name in told]


def test_a_gpu_that_is_not_there_is_told_before_anything_is_learned(worlds, monkeypatch) -> None:
    logs = worlds.make_world(2_000, np.random.default_rng(4)).logs
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match="there are 1 of the 2 asked for"):
        fit(logs, ModelSettings(), FitSettings(accelerator="gpu", devices=2), 0)
