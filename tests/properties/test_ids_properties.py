"""Ids of any length and alphabet: who was given what is found again by every reader of earlier contacts."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocator.audit.contact_history import read_received
from allocator.audit.previous_allocation import read_earlier
from allocator.audit.rows import Numbering
from allocator.audit.scope import Cap
from allocator.policy.grammar import Policy
from allocator.policy.kinds.churn import Churn
from allocator.policy.words import Filter, Term
from allocator.previous_contacts import read_history, read_previous
from ranker.columns import Places
from ranker.scores import Scores, ScoresWriter, open_scores
from ranker.tables.history import write_history
from tests.allocator.instances import AS_OF, catalogue

HEAD = catalogue()
CHURN = Policy(objective=(Term(metric="subs", weight=1.0),), constraints=(Churn(id="c", max=0.5),))
TEXTS = st.lists(st.text(max_size=200), min_size=2, max_size=30, unique=True)
NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30, unique=True)
KINDS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))


def scores_of(folder: Path, ids: pa.Array) -> Scores:
    folder.mkdir()
    size = (len(ids), len(HEAD.actions))
    with ScoresWriter(folder, HEAD) as writer:
        means = {metric.name: np.zeros(size, np.float32) for metric in HEAD.metrics}
        writer.write(ids, {"market": pa.array(["SE"] * len(ids))}, means)
    return open_scores(folder)


@settings(max_examples=40, deadline=None)
@given(ids=st.one_of(TEXTS, NUMBERS), kind=st.sampled_from(KINDS), drawn=st.randoms(use_true_random=False))
def test_what_a_user_was_given_is_found_again(ids: list, kind: pa.DataType, drawn) -> None:
    """Half of the ids are in the scores, in any order; contacts are of all of them, some several times. An empty text is an id too."""
    kind = kind if isinstance(ids[0], str) else pa.int64()
    drawn.shuffle(ids)
    known = ids[: max(len(ids) // 2, 1)]
    given_to = [(drawn.choice(ids), drawn.choice(HEAD.ids)) for _ in range(3 * len(ids))]
    people = pa.array([user for user, _ in given_to], pa.string() if isinstance(ids[0], str) else kind).cast(kind)
    wanted = Counter(user for user, _ in given_to if user in set(known))
    with TemporaryDirectory() as name:
        folder = Path(name)
        scores = scores_of(folder / "scores", pa.array(known))
        columns = {"user_id": people, "action": pa.array([action for _, action in given_to])}
        for part, dated in (("earlier", {}), ("exposures", {"decided_on": pa.array([AS_OF] * len(people))})):
            (folder / part).mkdir()
            pq.write_table(pa.table(columns | dated), folder / part / "p.parquet")
        found = [read_previous(scores, folder / "earlier")]
        assert write_history(folder / "exposures", "none", folder / "scores") == wanted.total()
        found.append(read_history(scores, ["rule"], 28))
        for past in found:
            had_n, row_n = past.of(range(len(known)))
            assert Counter(known[n] for n in had_n) == wanted
            assert Counter(
                (known[n], HEAD.ids[a]) for n, a in zip(had_n, past.action_N[row_n], strict=True)
            ) == Counter((user, action) for user, action in given_to if user in set(known))
        numbering = Numbering(scores)
        judged = read_earlier(folder / "earlier", CHURN, scores, numbering)
        for user, one in enumerate(known):
            assert len(judged.of(user, 1)[0]) == wanted[one]
        cap = Cap("rule", np.ones(len(HEAD.actions), bool), 200, 28, Filter())
        counted = read_received(scores, [cap], numbering).of(0, len(known))[:, 0]
        assert dict(zip(known, counted.tolist(), strict=True)) == {user: wanted[user] for user in known}


@pytest.mark.parametrize("length", [0, 15, 16, 36, 200])
def test_long_texts_are_looked_up_as_short_ones_are(length: int) -> None:
    ids = pa.chunked_array([pa.array([f"{n:x>{length}}" for n in part]) for part in (range(50), range(50, 70))])
    asked = pa.array([f"{n:x>{length}}" for n in (69, 70, 0, 33)])
    assert Places(ids).of(asked).tolist() == [69, -1, 0, 33]
