"""Who gets no offers, which rules take them away, and how evenly segments are exposed: one pass over the scores and the contacts.

Axes: U users, A actions, P planes, S user classes, C contact caps, N contacts, V values of a segment, B reach sets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allocator.amounts import number, percent
from allocator.formats import (
    LEFT_OUT,
    POLICY,
    LeftOutRecord,
    Offered,
    Parity,
    Removal,
    SegmentExposure,
    read_price_book,
)
from allocator.infeasible.causes import forbidden_by_rule
from allocator.policy.grammar import Policy
from allocator.previous_contacts import PastContacts, read_history, received
from allocator.problem import Problem, build_problem
from allocator.solve.dual import Tables
from allocator.users import HOLDOUT, group_of
from ranker import disk
from ranker.files import parquet_table, read_json_object, some_parquet_files
from ranker.scores import Scores, Shard

USERS_PER_STEP = 65_536
MOST_OFFERS = 10
"""So many or more are one row of the table."""
MOST_VALUES = 50
"""Of a segment: one with more is no segment that people compare."""
FEWEST = 30
"""Users of a segment value, for its exposure to be compared with others'."""
MOST_RULES = 3
"""Rules that are put into sentences."""
EVEN = 0.8
"""A ratio below it is told: four fifths, the usual threshold of adverse impact."""
Key = tuple[str, str | None]
"""Kind and id of a rule."""


def who_is_left_out(allocation: Path, scores: Scores) -> LeftOutRecord:
    """Counts who could get which offers under the rules for one user, and who gets contacts.

    Args:
        allocation: the folder of an allocation, with its policy and its price book.
        scores: those it was made from.

    Returns:
        Counts, by segment where one has at most 50 values, the removals per rule, the parity of segments, and sentences.

    Raises:
        InputError: a file is missing or is not what it must be.
    """
    policy = Policy.model_validate(read_json_object(allocation / POLICY)).without_comparisons()
    count = _Count(_Week.of(allocation, policy, scores))
    for shard in scores.shards(USERS_PER_STEP, check=False):
        count.see(shard)
    return count.record()


def write_left_out(allocation: Path, scores: Scores, folder: Path) -> LeftOutRecord:
    """Writes what `who_is_left_out` counts to left_out.json in a folder."""
    found = who_is_left_out(allocation, scores)
    disk.write_text(folder / LEFT_OUT, found.text())
    return found


@dataclass
class _Week:
    """What is the same for every shard. user_id, action_N: the contacts whose users were not met yet."""

    scores: Scores
    problem: Problem
    tables: Tables
    forbidden: Mapping[tuple[str, str], np.ndarray]
    history: PastContacts | None
    user_id: pa.ChunkedArray

    @staticmethod
    def of(allocation: Path, policy: Policy, scores: Scores) -> "_Week":
        problem = build_problem(scores, policy)
        rows, contact = problem.rows, problem.contact
        book = read_price_book(allocation).prices
        sides = [(problem.measured[position].rule.id, rows.side(row)) for row, position in enumerate(rows.constraint_R)]
        counted = sorted({name for name, days in zip(contact.names, contact.days_C, strict=True) if days})
        return _Week(
            scores=scores,
            problem=problem,
            tables=Tables.at(problem, np.array([book.get(side, 0.0) for side in sides])),
            forbidden=forbidden_by_rule(problem),
            history=read_history(scores, counted, int(contact.days_C.max())) if counted else None,
            user_id=pa.chunked_array(
                [
                    chunk
                    for file in some_parquet_files(allocation)
                    for chunk in parquet_table(file, ["user_id"]).column(0).chunks
                ]
            ),
        )

    def contacts_U(self, shard: Shard) -> np.ndarray:
        """int64[U]: contacts of each user of the shard; they are then no longer looked for."""
        place = pc.index_in(self.user_id, value_set=shard.user_id)
        self.user_id = self.user_id.filter(pc.is_null(place))
        return np.bincount(place.drop_null().to_numpy().astype(np.int64), minlength=len(shard))


@dataclass
class _Segment:
    """Counts by the values of a segment: users, nothing, weak, priced out, reached, contacts, in rows of `count`."""

    values: Sequence[str]
    count: np.ndarray


@dataclass
class _Count:
    week: _Week
    totals: np.ndarray = field(default_factory=lambda: np.zeros(6, np.int64))
    held_out: int = 0
    offers: np.ndarray = field(default_factory=lambda: np.zeros((2, MOST_OFFERS + 1), np.int64))
    removed: dict[Key, np.ndarray] = field(default_factory=dict)
    segments: dict[str, _Segment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scores = self.week.scores
        for name in scores.catalogue.segments:
            if 1 <= len(scores.vocabulary[name]) <= MOST_VALUES:
                values = scores.vocabulary[name]
                self.segments[name] = _Segment(values, np.zeros((6, len(values)), np.int64))

    def see(self, shard: Shard) -> None:
        """Counts a shard."""
        problem, class_U = self.week.problem, self.week.problem.classes.of(shard)
        possible_UA = self._possible(shard, class_U)
        planes_UPA = np.stack(
            [getattr(shard, kind)[metric] for kind, metric in problem.planes], axis=1, dtype=np.float64
        )
        worth_UA = problem.worth_of_all(planes_UPA)
        worthwhile_UA = possible_UA & (worth_UA > 0)
        paying_UA = possible_UA & (self._net(planes_UPA, class_U) > 0)
        contacts_U = self.week.contacts_U(shard)
        any_U, worthwhile_U = possible_UA.any(axis=1), worthwhile_UA.any(axis=1)
        weak_U, out_U = any_U & ~worthwhile_U, worthwhile_U & ~paying_UA.any(axis=1)
        every = np.stack([np.ones(len(shard), np.int64), ~any_U, weak_U, out_U, contacts_U > 0, contacts_U])
        self.totals += every.sum(axis=1).astype(np.int64)
        self.held_out += int((group_of(problem.policy, shard.user_id) == HOLDOUT).sum())
        for row, offers_UA in enumerate((possible_UA, worthwhile_UA)):
            self.offers[row] += np.bincount(np.minimum(offers_UA.sum(axis=1), MOST_OFFERS), minlength=MOST_OFFERS + 1)
        for name, segment in self.segments.items():
            for row, amount_U in enumerate(every):
                added = np.bincount(shard.segments[name], weights=amount_U, minlength=len(segment.values))
                segment.count[row] += added.astype(np.int64)

    def _net(self, planes_UPA: np.ndarray, class_U: np.ndarray) -> np.ndarray:
        """float64[U, A]: what each offer is worth at the week's prices, reached for the first time."""
        tables, rows = self.week.tables, self.week.problem.rows
        first_SA = tables.const_SA + np.maximum(tables.reward_SB, 0.0) @ rows.reach_BA
        return np.asarray(first_SA[class_U] + np.einsum("upa,upa->ua", planes_UPA, tables.plane_SPA[class_U]))

    def _possible(self, shard: Shard, class_U: np.ndarray) -> np.ndarray:
        """bool[U, A]: what the rules for one user leave; counts what each of them takes away."""
        contact, users = self.week.problem.contact, len(shard)
        received_UC = np.empty((users, 0), np.uint8)
        if self.week.history is not None:
            received_UC = received(
                self.week.history, shard.places, contact.member_CA, contact.counted_C, contact.days_C
            )
        removed: list[tuple[Key, np.ndarray]] = [(("scores", None), ~shard.eligible_UA)]
        removed += [(key, forbidden_SA[class_U]) for key, forbidden_SA in self.week.forbidden.items()]
        removed += list(self._had(received_UC, class_U))
        times_UA = np.zeros(shard.eligible_UA.shape, np.int16)
        for _, taken_UA in removed:
            times_UA += taken_UA
        without_U = ~(times_UA == 0).any(axis=1)
        for key, taken_UA in removed:
            alone_U = without_U & (taken_UA & (times_UA == 1)).any(axis=1)
            mine = taken_UA if key[0] == "scores" else taken_UA & shard.eligible_UA
            counted = self.removed.setdefault(key, np.zeros(2, np.int64))
            counted += mine.sum(), alone_U.sum()
        return contact.possible(times_UA == 0, received_UC, class_U)

    def _had(self, received_UC: np.ndarray, class_U: np.ndarray) -> Iterator[tuple[Key, np.ndarray]]:
        """By contact rule with days, what it takes from users who have had as much as it allows."""
        contact = self.week.problem.contact
        full_UC = contact.base(received_UC, class_U) >= contact.capacity_C
        for name in dict.fromkeys(name for name, days in zip(contact.names, contact.days_C, strict=True) if days):
            mine_C = np.array([other == name for other in contact.names]) & (contact.days_C > 0)
            yield ("history", name), full_UC[:, mine_C].astype(np.float32) @ contact.member_CA[mine_C] > 0

    def record(self) -> LeftOutRecord:
        """Everything, and the sentences of it."""
        users, nothing, weak, priced_out, reached, _ = self.totals.tolist()
        removals = tuple(
            _removal(key, int(offers), int(alone)) for key, (offers, alone) in self.removed.items() if offers
        )
        segments = tuple(_exposures(self.segments))
        parity = tuple(_parity(segments))
        return LeftOutRecord(
            users=users,
            held_out=self.held_out,
            nothing=nothing,
            weak=weak,
            priced_out=priced_out,
            reached=reached,
            offers=tuple(
                Offered(offers=offers, users=int(some), users_worth_more_than_nothing=int(worth))
                for offers, (some, worth) in enumerate(self.offers.T)
            ),
            removals=removals,
            segments=segments,
            parity=parity,
            sentences=(
                _headline(users, nothing, weak, priced_out),
                *(each.sentence for each in sorted(removals, key=lambda each: -each.users)[:MOST_RULES] if each.users),
                *(sentence for each in parity for sentence in _uneven(each, segments)),
            ),
        )


def _headline(users: int, nothing: int, weak: int, priced_out: int) -> str:
    def part(count: int) -> str:
        return f"{count:,} ({percent(count / users if users else 0.0)})"

    return (
        f"Of {users:,} users {part(nothing)} could get no offer at all, and {part(weak)} only offers that are worth nothing "
        f"or less by the scores. For {part(priced_out)} every offer is worth less than what it takes from the "
        "bounds of this week, at their prices."
    )


def _removal(key: Key, offers: int, alone: int) -> Removal:
    kind, rule = key
    words = {
        "scores": "What the scores call not eligible",
        "eligibility": f"Eligibility rule {rule}",
        "contact": f"Contact rule {rule}, which allows none,",
        "history": f"Contact rule {rule}, by what users have had before,",
    }[kind]
    left = f"{alone:,} user{' who' if alone == 1 else 's who'} would have an offer without it {'has' if alone == 1 else 'have'} none"
    sentence = f"{words} takes {offers:,} offer{'' if offers == 1 else 's'} away; {left}."
    return Removal(kind=kind, rule=rule, offers=offers, users=alone, sentence=sentence)


def _exposures(segments: Mapping[str, _Segment]) -> Iterator[SegmentExposure]:
    for name, segment in segments.items():
        for value, counts in zip(segment.values, segment.count.T, strict=True):
            if counts[0]:
                users, nothing, weak, out, reached, contacts = counts.tolist()
                yield SegmentExposure(
                    segment=name, value=str(value), users=users, nothing=nothing, weak=weak, priced_out=out,
                    reached=reached, contacts=contacts,
                )  # fmt: skip


def _parity(segments: Sequence[SegmentExposure]) -> Iterator[Parity]:
    """Of each segment with two values or more that have enough users."""
    for name in dict.fromkeys(each.segment for each in segments):
        large = [each for each in segments if each.segment == name and each.users >= FEWEST]
        if len(large) < 2:
            continue
        reached = sorted(large, key=lambda each: each.share_reached)
        contacts = sorted(large, key=lambda each: each.contacts_per_user)
        yield Parity(
            segment=name,
            reached_least=reached[0].value,
            reached_most=reached[-1].value,
            reached_ratio=_ratio(reached[0].share_reached, reached[-1].share_reached),
            contacts_least=contacts[0].value,
            contacts_most=contacts[-1].value,
            contacts_ratio=_ratio(contacts[0].contacts_per_user, contacts[-1].contacts_per_user),
        )


def _ratio(low: float, high: float) -> float | None:
    return low / high if high else None


def _uneven(parity: Parity, segments: Sequence[SegmentExposure]) -> Iterator[str]:
    """A sentence where a segment's values are reached, or given contacts, in very different measure."""
    by_value = {each.value: each for each in segments if each.segment == parity.segment}
    if parity.reached_ratio is not None and parity.reached_ratio < EVEN:
        low, high = by_value[parity.reached_least], by_value[parity.reached_most]
        yield (
            f"By {parity.segment}, {percent(low.share_reached)} of the users with {low.value} get a contact and "
            f"{percent(high.share_reached)} of those with {high.value}: {parity.reached_ratio:.2f} times as many."
        )
    if parity.contacts_ratio is not None and parity.contacts_ratio < EVEN:
        low, high = by_value[parity.contacts_least], by_value[parity.contacts_most]
        yield (
            f"By {parity.segment}, users with {low.value} get {number(low.contacts_per_user)} contacts each and those with "
            f"{high.value} {number(high.contacts_per_user)}: {parity.contacts_ratio:.2f} times as many."
        )
