"""One user's best slate against every slate there is, under contact rules of every shape."""

from itertools import combinations

import numpy as np
import pytest

from allocator.contact_rules import ContactRules
from allocator.solve.margins import best_instead
from allocator.solve.slates import NONE, best_slate, compile_rules, make_work, mark, near_slates

ACTIONS, SLOTS = 9, 4


def random_contact(generator: np.random.Generator) -> ContactRules:
    slot_A = np.concatenate([np.arange(SLOTS), generator.integers(SLOTS, size=ACTIONS - SLOTS)])
    caps = int(generator.integers(0, 5))
    member_CA = generator.random((caps, ACTIONS)) < generator.choice([0.3, 0.6, 1.0], size=(caps, 1))
    for cap in range(caps):
        if generator.random() < 0.4:  # a union of whole slots
            member_CA[cap] = np.isin(slot_A, np.flatnonzero(generator.random(SLOTS) < 0.6))
    capacity_C = generator.integers(1, 4, size=caps)
    no_days_C = np.zeros(caps, np.int64)
    return ContactRules(slot_A, member_CA, capacity_C, no_days_C, np.ones(ACTIONS, bool), tuple(map(str, range(caps))))


def all_slates(contact: ContactRules, net_A: np.ndarray) -> dict[tuple[int, ...], float]:
    """Every slate of eligible actions that keeps the rules, with its value."""
    eligible = np.flatnonzero(np.isfinite(net_A))
    found = {}
    for size in range(SLOTS + 1):
        for slate in combinations(eligible, size):
            chosen = np.zeros(ACTIONS, bool)
            chosen[list(slate)] = True
            slots_apart = len(set(contact.slot_A[list(slate)])) == size
            if slots_apart and ((contact.member_CA & chosen).sum(axis=1) <= contact.capacity_C).all():
                found[tuple(int(a) for a in slate)] = float(net_A[list(slate)].sum())
    return found


def random_net(generator: np.random.Generator) -> np.ndarray:
    net_A = generator.normal(0.3, 1.0, ACTIONS)
    return np.where(generator.random(ACTIONS) < 0.8, net_A, -np.inf)


@pytest.mark.parametrize("seed", range(60))
def test_best_slate_is_the_best_of_all_slates(seed: int) -> None:
    generator = np.random.default_rng(seed)
    contact, net_A = random_contact(generator), random_net(generator)
    rules = compile_rules(contact, None)
    work = make_work(rules)
    work.net_A[:] = net_A
    slate_K = np.empty(rules.most, np.int64)
    count, value = best_slate(rules, work, slate_K)
    slates = all_slates(contact, net_A)
    assert value == pytest.approx(max(slates.values()), abs=1e-12)
    assert slates[tuple(sorted(slate_K[:count].tolist()))] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_near_slates_are_exactly_those_within_the_width(seed: int) -> None:
    generator = np.random.default_rng([seed, 1])
    contact, net_A = random_contact(generator), random_net(generator)
    rules = compile_rules(contact, None)
    work = make_work(rules)
    work.net_A[:] = net_A
    slates = all_slates(contact, net_A)
    least = max(slates.values()) - float(generator.choice([0.1, 0.7, 3.0]))
    slates_NK, value_N = np.empty((5_000, rules.most), np.int16), np.empty(5_000)
    found = near_slates(rules, work, least, slates_NK, value_N)
    got = {tuple(sorted(int(a) for a in slate if a != NONE)) for slate in slates_NK[:found]}
    assert len(got) == found
    assert got == {slate for slate, value in slates.items() if value > least}


@pytest.mark.parametrize("seed", range(30))
def test_the_runner_up_is_the_best_replacement(seed: int) -> None:
    generator = np.random.default_rng([seed, 2])
    contact, net_A = random_contact(generator), random_net(generator)
    rules = compile_rules(contact, None)
    work = make_work(rules)
    work.net_A[:] = net_A
    slates = all_slates(contact, net_A)
    slate = max((s for s in slates if s), key=lambda s: slates[s], default=None)
    if slate is None:
        return
    slate_K = np.full(rules.most, NONE)
    slate_K[: len(slate)] = slate
    work.used_C[:] = 0
    for action in slate:
        mark(rules, work.used_C, action, 1)
    rest = [a for a in slate if a != slate[0]]
    others = {tuple(sorted([*rest, a])): net_A[a] for a in range(ACTIONS) if a not in slate}
    best = max([0.0, *(net for swapped, net in others.items() if swapped in slates)])
    margin, instead = best_instead(rules, work, slate_K, slate[0])
    assert margin == pytest.approx(net_A[slate[0]] - best)
    assert (instead == NONE) == (best == 0.0)
