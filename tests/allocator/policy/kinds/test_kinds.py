"""What kinds say of themselves: steps that every use of a row keeps, and bounds that nothing can exceed."""

from fractions import Fraction

import numpy as np
import pytest

from allocator.policy.kinds.average import Average
from allocator.policy.kinds.base import Level
from allocator.policy.kinds.change import Change
from allocator.policy.kinds.churn import Churn
from allocator.policy.kinds.share import ShareOf
from allocator.policy.kinds.total import Total
from allocator.policy.kinds.volume import Volume


@pytest.mark.parametrize("bound", ["0.25", "0.3", "1/3", "0.625"])
def test_whatever_contacts_use_of_a_share_is_a_multiple_of_its_quantum(bound: str) -> None:
    share = Fraction(bound)
    quantum = ShareOf(id="s").quantum(float(share))
    generator = np.random.default_rng(0)
    for whole in generator.integers(0, 1_000, 50):
        used = float(generator.integers(0, whole + 1) - share * int(whole)) / quantum
        assert used == pytest.approx(round(used), abs=1e-6)
    assert quantum == pytest.approx(1 / share.denominator), "and no larger step would do"


def test_counts_come_in_ones_and_sums_of_real_numbers_in_no_steps() -> None:
    assert [kind(id="k", max=0.5).quantum(3.0) for kind in (Volume, Change, Churn)] == [1.0, 1.0, 1.0]
    assert [kind(id="k", metric="m").quantum(3.0) for kind in (Total, Average)] == [0.0, 0.0]


@pytest.mark.parametrize("bound", [0.5, 0.995, 0.9999, 1.0])
def test_no_step_of_a_share_goes_beyond_all_contacts(bound: float) -> None:
    size, words = ShareOf.step(Level(bound, None, bound, "of the contacts in scope"), "max")
    assert size == 0.01 if bound in (0.5, 1.0) else size > 0 and bound + size <= 1 + 1e-12
    assert "(to 101" not in words
