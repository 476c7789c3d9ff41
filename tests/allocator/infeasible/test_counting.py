"""Counting before pricing: it names what cannot be, and never calls impossible what an integer programme finds possible."""

from pathlib import Path

import numpy as np
import pytest

from allocator.infeasible.counting import left_together, preflight
from allocator.solve.exact import solve_exact
from allocator.solve.settings import SolveSettings
from allocator.solve.solution import Unsolvable
from ranker.catalogue import Interference, Kept, Pair
from tests.allocator.instances import CONTACT, Case, make_case

USERS = 40


def found(case: Case) -> list:
    return preflight(case.problem, case.data, case.explored[:2])


def can_hold(case: Case, positions: tuple[int, ...]) -> bool:
    """The oracle: an integer programme over all pairs, these constraints alone."""
    problem = case.problem.with_measured([case.problem.measured[position] for position in positions])
    users = Case(case.scores, case.policy, problem, case.data, case.explored).users
    try:
        solve_exact(users, SolveSettings(nodes=20_000), np.ones(len(problem.rows)))
    except Unsolvable:
        return False
    return True


def tight_rules(seed: int) -> str:
    """Bounds near what can be had, so that about half of the problems are impossible."""
    draw = np.random.default_rng([seed, 3])
    lines = [
        f"{{id: books, kind: volume, where: {{product: books}}, users: {{market: SE}}, min: {draw.integers(8, 20)}}}",
        f"{{id: duo, kind: volume, where: {{product: duo}}, min: {draw.integers(15, 45)}}}",
        f"{{id: push_cap, kind: volume, where: {{surface: push}}, max: {draw.integers(5, 40)}}}",
        f"{{id: push_duo, kind: volume, where: {{surface: push, product: duo}}, min: {draw.integers(0, 25)}}}",
        f"{{id: push_family, kind: volume, where: {{surface: push, product: family}}, min: {draw.integers(0, 25)}}}",
        f"{{id: all, kind: volume, min: {draw.integers(50, 100)}}}",
        f"{{id: subs, kind: total, metric: subs, min: {draw.uniform(0.5, 2.5):.4f}}}",
        f"{{id: plans, kind: share, where: {{family: plan}}, of: {{surface: home}}, max: {draw.uniform(0, 1):.3f}}}",
        f"{{id: wish, kind: volume, where: {{product: family}}, min: {draw.integers(20, 60)}, strength: {{soft: 0.1}}}}",
    ]
    kept = [line for line in lines if draw.random() < 0.6]
    experiment = "experiment:\n  holdout: {share: 0.1, salt: h}\n  exploration: {share: 0.3, salt: e}\n"
    rules = "constraints:\n" + "".join(f"  - {line}\n" for line in kept) if kept else ""
    return (experiment if seed % 2 else "") + CONTACT + rules


@pytest.mark.parametrize("seed", range(30))
def test_what_it_calls_impossible_is(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, USERS, seed, tight_rules(seed))
    for finding in found(case):
        if finding.hard:
            assert not can_hold(case, finding.positions), finding.sentence
            for left_out in finding.positions if len(finding.positions) > 1 else ():
                rest = tuple(position for position in finding.positions if position != left_out)
                assert not any(other.positions == rest for other in found(case))


def test_it_finds_a_good_part_of_what_is_impossible(tmp_path: Path) -> None:
    impossible = seen = 0
    for seed in range(30):
        case = make_case(tmp_path / str(seed), USERS, seed, tight_rules(seed))
        if not can_hold(case, tuple(range(len(case.problem.measured)))):
            impossible += 1
            seen += any(finding.hard for finding in found(case))
    assert impossible >= 10 and seen >= 0.7 * impossible


def test_a_maximum_below_nothing_that_is_out_of_reach_is_told(tmp_path: Path) -> None:
    rules = CONTACT + "constraints:\n  - {id: loss, kind: total, metric: revenue, max: -100000}\n"
    ((ids, sentence),) = sentences(tmp_path, rules)
    assert ids == ("loss",)
    assert sentence.startswith("loss asks for at most -100,000, but the best contacts of all ")


def sentences(tmp_path: Path, rules: str) -> list[tuple[tuple[str, ...], str]]:
    return [(finding.ids, finding.sentence) for finding in found(make_case(tmp_path, USERS, 1, rules))]


def test_too_few_eligible_users_are_counted(tmp_path: Path) -> None:
    rules = (
        CONTACT + "constraints:\n  - {id: goal, kind: volume, where: {product: books}, users: {market: SE}, min: 39}\n"
    )
    case = make_case(tmp_path, USERS, 1, rules)
    books_A = np.array([action["product"] == "books" for action in case.scores.catalogue.actions])
    swedes_U = np.array([record["market"] == "SE" for record in case.problem.classes.records])[case.data.class_U]
    eligible = int((case.data.eligible_UA[:, books_A].any(axis=1) & swedes_U).sum())
    [finding] = found(case)
    expected = f"goal asks for at least 39 contacts, but only {eligible} users are eligible for any"
    assert finding.sentence == expected and finding.ids == ("goal",) and finding.hard


def test_a_minimum_above_its_maximum_after_percentages(tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: odd, kind: volume, where: {surface: push}, min: 20%, max: 3}\n"
    assert sentences(tmp_path, rules) == [(("odd",), "odd asks for at least 8 and at most 3")]


def test_minimums_above_a_cap_that_covers_them(tmp_path: Path) -> None:
    rules = """constraints:
  - {id: cap, kind: volume, where: {surface: push}, max: 12}
  - {id: duo, kind: volume, where: {surface: push, product: duo}, min: 8}
  - {id: books, kind: volume, where: {surface: push, product: books}, min: 7}
  - {id: family, kind: volume, where: {surface: push, product: family}, min: 1}
"""
    said = "cap allows at most 12 contacts, but duo and books within it ask for 15"
    assert sentences(tmp_path, rules) == [(("cap", "duo", "books"), said)]


def test_minimums_above_what_users_may_get(tmp_path: Path) -> None:
    rules = "contact:\n  - {id: one, max: 1}\nconstraints:\n" + "".join(
        f"  - {{id: {product}, kind: volume, where: {{product: {product}}}, min: 15}}\n"
        for product in ("duo", "family", "books")
    )
    [(ids, sentence)] = sentences(tmp_path, rules)
    assert ids == ("duo", "family", "books")
    assert sentence.startswith("duo, family and books together ask for 45 contacts, but the 40 users")


def test_exploration_that_breaks_a_cap_is_named(tmp_path: Path) -> None:
    rules = "experiment:\n  exploration: {share: 0.9, salt: e}\nconstraints:\n  - {id: cap, kind: volume, max: 3}\n"
    [(ids, sentence)] = sentences(tmp_path, rules)
    assert ids == ("cap",) and "random on purpose, already break it" in sentence


def test_a_wish_out_of_reach_contradicts_nothing(tmp_path: Path) -> None:
    rules = "constraints:\n  - {id: wish, kind: volume, where: {surface: push}, min: 100, strength: {soft: 1.0}}\n"
    [finding] = found(make_case(tmp_path, USERS, 1, rules))
    assert not finding.hard


BOOKS, DUO, PLANS = {"product": "books"}, {"product": "duo"}, {"family": "plan"}
SPOILING = Interference(
    28,
    None,
    (
        Pair(BOOKS, DUO, Kept(0.3, 0.1), "history"),
        Pair(DUO, BOOKS, Kept(0.45, 0.1), "history"),
        Pair(PLANS, BOOKS, Kept(0.9, 0.2), "history"),  # not sure to be less than 1
        Pair(BOOKS, BOOKS, Kept(0.6, 0.1), "same week"),
    ),
)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            "",
            [
                "books and duo spoil each other (books keeps 30%, duo keeps 45%)",
                "books twice spoils itself (books keeps 60%)",
            ],
        ),
        ("{id: a, max: 2}", ["books and duo", "books twice"]),
        ("{id: a, max: 1}", []),
        ("{id: a, max: 1, spoils: 0.9}", []),
        ("{id: a, max: 1, spoils: 0.5}", []),  # one contact of books and duo together is one of books
        ("{id: a, max: 2, spoils: 0.9}", ["books and duo", "books twice"]),
        ("{id: a, max: 1, where: {product: [books, duo]}}", []),
        ("{id: a, max: 1, where: {product: [books, family]}}", ["books and duo"]),
        ("{id: a, max: 1, each: product}", ["books and duo"]),
        ("{id: a, max: 0, where: {product: books}}", []),
    ],
)
def test_what_may_stand_together_though_it_spoils_each_other_is_told(
    tmp_path: Path, rules: str, told: list[str]
) -> None:
    case = make_case(tmp_path, 5, 1, f"contact: [{rules}]\n" if rules else "", interference=SPOILING)
    sentences = left_together(case.problem)
    assert len(sentences) == len(told)
    for sentence, words in zip(sentences, told, strict=True):
        assert f"the scores say that {words}" in sentence


def test_scores_that_say_nothing_of_pairs_need_no_rule(tmp_path: Path) -> None:
    assert left_together(make_case(tmp_path, 5, 1, "").problem) == []
