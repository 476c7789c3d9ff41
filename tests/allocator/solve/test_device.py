"""The dual evaluation in torch against the compiled one: the same slates and margins, the same sums to rounding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allocator.solve.dual import evaluate_dual
from tests.allocator.instances import Case, make_case, random_rules

UNIONS = """contact:
  - {id: total, max: 2}
  - {id: plan_picker, max: 1, where: {surface: plan_picker}}
"""


SOME = """contact:
  - {id: total, max: 2, users: {market: [SE, DE]}}
  - {id: push, max: 1, where: {surface: [push, home]}, users: {market: [DE, "NO"]}}
"""


@pytest.fixture(params=["overlapping caps", "unions of slots", "caps of some", "no caps"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    rules = random_rules(1, 3_000)
    constraints = "constraints:" + rules.partition("constraints:")[2]
    contact = {"overlapping caps": rules.partition("constraints:")[0], "unions of slots": UNIONS, "no caps": ""}
    contact["caps of some"] = SOME
    experiment = "experiment:\n  exploration: {share: 0.1, salt: e}\n"
    return make_case(tmp_path, 3_000, 1, experiment + contact[request.param] + constraints)


@pytest.mark.parametrize("seed", range(3))
def test_the_device_finds_what_the_kernel_finds(case: Case, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allocator.users.SHARD", 1_024)
    price_R = 0.2 * np.random.default_rng(seed).random(len(case.problem.rows))
    price_R = np.minimum(price_R, case.problem.rows.penalty_R)
    compiled = evaluate_dual(case.users, price_R)
    on_device = evaluate_dual(replace(case.users, device="cpu:0"), price_R)
    assert np.array_equal(np.sort(compiled.slate_UK, axis=1), np.sort(on_device.slate_UK, axis=1))
    np.testing.assert_allclose(on_device.margin_U, compiled.margin_U, rtol=1e-6, atol=1e-9)
    assert on_device.dual == pytest.approx(compiled.dual, rel=1e-12)
    assert on_device.value == pytest.approx(compiled.value, rel=1e-12)
    np.testing.assert_allclose(on_device.usage_R, compiled.usage_R, rtol=1e-9, atol=1e-9)
