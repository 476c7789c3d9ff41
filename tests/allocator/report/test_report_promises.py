"""What the report promises for a step of a bound holds: the market is solved again with the bound moved, in whole contacts."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest

from allocator.allocate import allocate
from allocator.formats import Certificate, ConstraintRecord
from allocator.infeasible.diagnosis import Infeasible
from allocator.policy.kinds.known import kind_named
from allocator.report import sentences
from allocator.solve.settings import SolveSettings
from ranker.scores import Scores, open_scores
from tests.allocator.instances import write_scores
from tests.seeds import seeds

EXACT = SolveSettings(method="exact", gap=1e-9)
HEAD = {
    "version": 1,
    "objective": [
        {"metric": "revenue", "weight": 1.0},
        {"metric": "subs", "weight": 12.0},
        {"metric": "opt_out", "weight": -25.0},
    ],
    "contact": [{"id": "total", "max": 2}, {"id": "push", "max": 1, "where": {"surface": "push"}}],
}
RULES = {
    "volume": {"kind": "volume", "where": {"surface": "push"}},
    "total": {"kind": "total", "metric": "subs", "times": "discount_eur"},
    "share": {"kind": "share", "where": {"family": "plan"}, "of": {"surface": ["home", "push"]}},
    "share of all": {"kind": "share", "where": {"product": "books"}},
    "average": {"kind": "average", "metric": "opt_out"},
    "ratio": {"kind": "ratio", "metric": "revenue", "per": {"metric": "subs", "times": "discount_eur"}},
}
LIMIT, FLOOR = 0.7, 1.3
"""Times what the contacts come to where nobody asks for anything."""
NUMBER = r"([\d,.]*\d(?:e-\d+)?)"
WORDS = re.compile(rf" (at most )?about {NUMBER} EUR( if the price held that far)?")
ROOM = re.compile(rf"at most about {NUMBER} EUR\.")
WITHIN = 0.1
"""Of what is said without `at most`: whole contacts have lost a tenth of it at most so far, and may lose as much again."""
TEXT = 0.006
"""Of a number: three digits, and the hundredth to which a price was seen to hold is told as `about`."""


@dataclass(frozen=True)
class MarketAtBound:
    """A market, one rule of it, and the side at which it binds."""

    scores: Scores
    rule: dict
    side: str

    def moved(self, bound: float) -> Certificate:
        rule = {**self.rule, self.side: bound}
        return allocate(self.scores, {**HEAD, "constraints": [rule]}, EXACT).certificate

    @cached_property
    def certificate(self) -> Certificate:
        return self.moved(self.rule[self.side])

    @property
    def record(self) -> ConstraintRecord:
        return self.certificate.constraints[0]

    def gain(self, size: float) -> tuple[float, float]:
        """What loosening the bound gains, in whole contacts and in parts of them."""
        bound = self.rule[self.side]
        again = self.moved(bound - size if self.side == "min" else bound + size)
        now = self.certificate
        return again.value - now.value, _parts(again) - _parts(now)


def _parts(certificate: Certificate) -> float:
    assert certificate.price_bound is not None
    return certificate.price_bound


def markets(folder: Path, users: int, seed: int, name: str, sides: tuple[float, ...]) -> list[MarketAtBound]:
    """The rule at each side where it costs something."""
    scores = open_scores(write_scores(folder / "scores", users, seed))
    rule = {"id": "rule", **RULES[name]}
    watched = {**HEAD, "constraints": [{**rule, "strength": "report_only"}]}
    free = allocate(scores, watched, EXACT).certificate.constraints[0].achieved
    assert free is not None
    found = []
    for times in sides:
        bound = float(round(free * times)) if name == "volume" else free * times
        if rule["kind"] == "share":
            bound = round(min(bound, 1.0), 2)
        side = "max" if times < 1 else "min"
        bounds = MarketAtBound(scores, {**rule, side: bound}, side)
        try:
            found += [bounds] if bounds.record.price else []
        except Infeasible:
            continue
    return found


def promises_kept(market: MarketAtBound) -> str:
    """How the report puts it, after everything that it promises was checked."""
    record, whole = market.record, sentences.WholeContacts.of(market.certificate)
    said = sentences.constraint(record, "EUR", whole)
    stands = replace(sentences.level(record), least=whole.least(record))
    size, opening = kind_named(record.kind).step(stands, market.side)
    promise = WORDS.match(said, said.index(opening) + len(opening))
    assert promise, said
    at_most, told, condition = promise[1], float(promise[2].replace(",", "")), promise[3]
    gained, in_parts = market.gain(size)
    held = not condition or in_parts == pytest.approx(record.price * size, rel=0.01)
    if held and at_most:
        assert gained <= told * (1 + 0.01 + TEXT), said
    elif held:
        assert gained == pytest.approx(told, rel=WITHIN), said
    if room := ROOM.search(said, promise.end()):
        assert market.gain(abs(market.rule[market.side]) / 100)[0] <= float(room[1].replace(",", "")) * (1 + TEXT), said
    if "worth that at least" in said:
        assert stands.reach is not None and not at_most
        way = stands.room(market.side)
        assert market.gain(way)[0] == pytest.approx(record.price * way, rel=WITHIN), said
    return f"{at_most or ''}about{condition or ''}"


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", seeds(4, quick=1))
def test_small_markets_gain_what_they_are_promised(tmp_path: Path, name: str, seed: int) -> None:
    found = [promises_kept(market) for market in markets(tmp_path, 60, seed, name, (LIMIT, FLOOR))]
    assert found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["total", "average", "ratio"])
def test_where_whole_contacts_are_small_the_promise_is_no_upper_limit(tmp_path: Path, name: str) -> None:
    found = [promises_kept(market) for market in markets(tmp_path, 400, 1, name, (0.8,))]
    assert found == ["about"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_larger_markets_gain_what_they_are_promised(tmp_path: Path, name: str, seed: int) -> None:
    for market in markets(tmp_path, 400, seed, name, (0.8, 1.2)):
        promises_kept(market)
