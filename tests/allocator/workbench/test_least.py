"""The same value with less, against an allocation of everybody under tiers that say the same."""

from pathlib import Path

import pytest

from allocator.allocate import allocate
from allocator.workbench.least import least
from allocator.workbench.session import Session
from ranker.files import InputError
from ranker.scores import Scores, open_scores
from tests.allocator.instances import CONTACT, OBJECTIVE, write_scores

RULES = CONTACT + "constraints:\n  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 60}\n"
RULES += "  - {id: duo_part, kind: share, where: {product: duo}, max: 90%}\n"


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return open_scores(write_scores(tmp_path_factory.mktemp("least") / "scores", 1_500, 3))


@pytest.mark.slow
def test_the_fewest_opt_outs_at_nearly_the_same_value(scores: Scores, tmp_path: Path) -> None:
    goal = OBJECTIVE.removeprefix("version: 1\nobjective:\n").replace("  - ", "").strip().splitlines()
    tiers = f"version: 1\ntiers:\n  - {{objective: [{', '.join(goal)}], give_up: 1%}}\n"
    (tmp_path / "tiers.yaml").write_text(tiers + "  - {objective: [{metric: opt_out, weight: -1.0}]}\n" + RULES)
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + RULES)
    made = allocate(scores, tmp_path / "tiers.yaml").certificate
    with Session.open(scores) as session:
        answer = least(session, session.read(tmp_path / "policy.yaml", {}), "opt_out", 0.01)
    assert answer.least == pytest.approx(-made.value, rel=2e-3)
    assert answer.least < answer.now
    assert answer.value == pytest.approx(0.99 * answer.value_now, rel=1e-3)
    assert answer.sentence.startswith("99.00 % of the value can be had with opt_out of ")


def test_fewer_contacts_and_less_discount(scores: Scores, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(OBJECTIVE + RULES)
    with Session.open(scores) as session:
        base = session.read(tmp_path / "policy.yaml", {})
        contacts, budget = least(session, base, "contacts"), least(session, base, "budget")
        assert contacts.least < contacts.now
        assert budget.least < budget.now == pytest.approx(60, rel=0.05)
        assert contacts.value >= 0.998 * contacts.value_now
        for what, said in (
            ("value", "what is kept"),
            ("duo_part", "no sum over contacts"),
            ("duos", "no constraint or metric"),
        ):
            with pytest.raises(InputError, match=said):
                least(session, base, what)
