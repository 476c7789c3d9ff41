"""What contacts cost themselves: attributes summed without a metric, as objective, budget, ratio and tier, against plain arithmetic."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from allocator.allocate import Allocation
from allocator.report.collect import Sources, collect
from allocator.report.sentences import formula
from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter
from scripts.allocate import run

USERS = 200
COST = {"email": 0.1, "letter": 1.5, "call": 5.0}
COST_A = np.array(list(COST.values()))
HEAD = "version: 1\nobjective:\n  - {metric: rev, weight: 1}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """(folder with scores, what contacts bring)."""
    folder = tmp_path_factory.mktemp("cost")
    rev_UA = np.random.default_rng(0).gamma(1, 2, (USERS, 3)).astype(np.float32)
    actions = tuple({"id": name, "slot": name, "channel": name, "cost_eur": eur} for name, eur in COST.items())
    (folder / "scores").mkdir()
    with ScoresWriter(folder / "scores", Catalogue(actions, (Metric("rev", "EUR"),), ("market",))) as writer:
        market = pa.array(np.where(np.arange(USERS) % 4 == 0, "NO", "SE"))
        writer.write(pa.array(np.arange(USERS)), {"market": market}, {"rev": rev_UA}, None, np.ones((USERS, 3), bool))
    return folder, rev_UA.astype(float)


@pytest.fixture
def allocated(made: tuple[Path, np.ndarray], settings_for: Callable) -> Callable[..., Allocation]:
    """allocated(policy, ...): what the command made of a policy."""

    def allocate(text: str, **solve: object) -> Allocation:
        settings = settings_for(made[0], "", gap=1e-6, **solve)
        settings.paths.policy.write_text(text)
        return run(settings)

    return allocate


@pytest.mark.parametrize("method", ["exact", "prices"])
def test_a_contact_is_given_where_it_brings_more_than_it_costs(
    made: tuple[Path, np.ndarray], allocated: Callable, method: str
) -> None:
    folder, rev_UA = made
    found = allocated(HEAD + "  - {weight: -1, times: cost_eur}\n", method=method)
    assert found.certificate.value == pytest.approx(np.maximum(rev_UA - COST_A, 0).sum())
    assert found.audit.clean
    report = collect(Sources(found.folder, folder / "scores"))
    assert (report.value_unit, report.warnings) == ("EUR", ())
    assert formula(report.certificate.objective) == "1 \u00d7 rev \u2212 1 \u00d7 cost_eur"
    worthwhile = next(stage for stage in report.funnel if stage.stage == "allocated")
    assert worthwhile.contacts == int((rev_UA > COST_A).sum())


def test_a_budget_for_what_contacts_cost_is_kept(made: tuple[Path, np.ndarray], allocated: Callable) -> None:
    _, rev_UA = made
    found = allocated(HEAD + "constraints:\n  - {id: postage, kind: total, times: cost_eur, max: 100}\n")
    (postage,) = json.loads((found.folder / "certificate.json").read_text())["constraints"]
    assert postage["unit"] == "EUR"
    assert postage["achieved"] == pytest.approx(postage["numerator"])
    assert postage["achieved"] <= 100 + 1e-9
    by_worth = np.sort((rev_UA / COST_A).ravel())[::-1]
    order = np.argsort(-(rev_UA / COST_A).ravel())
    paid = np.cumsum(np.tile(COST_A, USERS)[order])
    fits = paid <= 100
    fractional = rev_UA.ravel()[order][fits].sum() + (100 - paid[fits][-1]) * by_worth[fits.sum()]
    assert found.certificate.value == pytest.approx(fractional, rel=1e-3)
    assert found.certificate.price_bound == pytest.approx(fractional, rel=1e-4)


def test_a_ratio_may_divide_by_what_contacts_cost(allocated: Callable) -> None:
    rule = "constraints:\n  - {id: return, kind: ratio, metric: rev, per: {times: cost_eur}, min: 2}\n"
    (record,) = allocated(HEAD + rule).certificate.constraints
    assert record.unit == "EUR per EUR"
    assert record.numerator / record.denominator == pytest.approx(record.achieved)
    assert record.achieved >= 2 * (1 - 1e-9)
    turned = "constraints:\n  - {id: price, kind: ratio, times: cost_eur, per: {metric: rev}, max: 0.5}\n"
    (other,) = allocated(HEAD + turned).certificate.constraints
    assert other.numerator == pytest.approx(record.denominator, rel=1e-3)


def test_an_objective_may_be_of_attributes_alone(allocated: Callable) -> None:
    text = "version: 1\nobjective: [{times: cost_eur, weight: 1}]\ncontact: [{id: one, max: 1}]\n"
    found = allocated(text)
    assert found.certificate.value == pytest.approx(USERS * COST["call"])
    assert found.audit.clean
    assert found.certificate.metrics["rev"].total > 0


def test_a_tier_may_be_what_contacts_cost(made: tuple[Path, np.ndarray], allocated: Callable) -> None:
    _, rev_UA = made
    text = (
        "version: 1\ntiers:\n  - {objective: [{metric: rev, weight: 1}], give_up: 50%}\n"
        "  - {objective: [{times: cost_eur, weight: -1}]}\n"
    )
    found = allocated(text)
    (tier,) = found.certificate.tiers
    assert tier.value == pytest.approx(rev_UA.sum())
    assert found.certificate.constraints[0].achieved >= tier.floor - 1e-6
    assert found.audit.clean
    assert found.certificate.value > -COST["letter"] * USERS, (
        "letters and e-mails bring half of it, and calls cost more"
    )


def test_a_share_without_of_is_of_all_contacts_of_its_users(allocated: Callable) -> None:
    rule = "constraints:\n  - {id: calls, kind: share, where: {channel: call}, users: {market: NO}, max: 20%}\n"
    (record,) = allocated(HEAD + rule).certificate.constraints
    assert record.denominator == USERS // 4 * 2 + record.numerator
    assert record.achieved <= 0.2
    assert record.binding == "max"
