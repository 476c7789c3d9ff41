"""The scores dataset: users are counted as a set would count them, and whatever is wrong with a file is told with its place."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.catalogue import Catalogue, Interference, Kept, Metric, Pair, read_catalogue, write_catalogue
from ranker.scores import InputError, Scores, open_scores

ACTIONS = ({"id": "home/duo", "slot": "home"}, {"id": "push/duo", "slot": "push"})


def write(path: Path, files: Sequence[pa.Array], **changed: pa.Array) -> Scores:
    """A dataset with a file per array of ids; changed: columns in place of those of the first file."""
    path.mkdir(exist_ok=True)
    write_catalogue(path / "catalogue.json", Catalogue(ACTIONS, (Metric("subs", "subscribers"),), ("market",)))
    for position, ids in enumerate(files):
        mean = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * len(ids)), pa.float32()), 2)
        columns = {"user_id": ids, "market": pa.array(["SE"] * len(ids), pa.string()), "mean_subs": mean}
        columns |= changed if position == 0 else {}
        pq.write_table(pa.table(columns), path / f"part-{position}.parquet")
    return open_scores(path)


def numbers(*ids: int | None) -> pa.Array:
    return pa.array(ids, pa.int64())


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.int32(), pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
@pytest.mark.parametrize("seed", range(4))
def test_users_who_stand_twice_or_have_no_id_are_counted(tmp_path: Path, kind: pa.DataType, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    plain = [[None if drawn.random() < 0.05 else int(x) for x in drawn.integers(-50, 60, size)] for size in (40, 1, 30)]
    ids = [x for part in plain for x in part]
    texts = not pa.types.is_integer(kind)
    parts = [[x if x is None or not texts else f"user {x}" for x in part] for part in plain]
    scores = write(tmp_path, [pa.array(part, pa.string() if texts else kind).cast(kind) for part in parts])
    known = [x for x in ids if x is not None]
    with pytest.raises(InputError) as caught:
        scores.check_users()
    wanted = [f"{len(ids) - len(known)} of 71 rows are missing", f"{len(known) - len(set(known))} of 71 rows repeat"]
    assert all(count in problem for count, problem in zip(wanted, caught.value.problems, strict=True))


@pytest.mark.parametrize("files", [[(1, 2, 3), (4, 5)], [(5, 4), (3, -9, 2)], [(7,), ()]])
def test_users_who_stand_once_pass_in_any_order(tmp_path: Path, files: list[tuple[int, ...]]) -> None:
    write(tmp_path, [numbers(*ids) for ids in files]).check_users()


def test_an_id_is_of_one_kind_in_all_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"part-1.parquet: column user_id: has type string here but int64 in part-0"):
        write(tmp_path, [numbers(1, 2), pa.array(["1"])])


def test_columns_of_another_type_are_all_told(tmp_path: Path) -> None:
    narrow = pa.FixedSizeListArray.from_arrays(pa.array([1.0], pa.float32()), 1)
    with pytest.raises(InputError) as caught:
        write(tmp_path, [numbers(1)], mean_subs=narrow, market=numbers(3))
    assert sorted(problem.split("column ")[1].split(":")[0] for problem in caught.value.problems) == [
        "market",
        "mean_subs",
    ]


def test_values_that_cannot_be_are_counted_by_file_and_column(tmp_path: Path) -> None:
    mean = pa.FixedSizeListArray.from_arrays(pa.array([1.0, np.nan, np.inf, 2.0, None, 0.0], pa.float32()), 2)
    scores = write(tmp_path, [numbers(1, 2, 3), numbers(4)], mean_subs=mean)
    with pytest.raises(InputError) as caught:
        list(scores.shards(2))
    assert [problem.split("part-0.parquet: ")[1].split(";")[0] for problem in caught.value.problems] == [
        "column mean_subs: 1 entries are missing",
        "column mean_subs: 2 entries are not finite",
    ]


INTERFERENCE = Interference(28, Kept(0.8, 0.02), (Pair({"slot": "home"}, {"slot": "push"}, Kept(0.4, 0.1), "history"),))


@pytest.mark.parametrize("interference", [None, INTERFERENCE, Interference(7, None, ())])
def test_what_contacts_take_from_each_other_is_handed_over(tmp_path: Path, interference: Interference | None) -> None:
    file = tmp_path / "catalogue.json"
    write_catalogue(file, Catalogue(ACTIONS).with_scores([], [], "", None, interference))
    assert ("interference" in json.loads(file.read_text())) == (interference is not None)
    assert read_catalogue(file).interference == interference


def test_pairs_that_a_catalogue_does_not_have_are_left_out() -> None:
    home_only = Catalogue(ACTIONS[:1]).with_scores([], [], "", None, INTERFERENCE)
    assert home_only.interference == Interference(28, Kept(0.8, 0.02), ())


def test_all_that_is_wrong_with_what_contacts_take_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    pair = {"where": {"slot": "roof"}, "beside": {}, "kept": float("inf"), "stderr": -1, "basis": "a guess"}
    wrong = {"days": 0.5, "fatigue": {"kept": "much"}, "pairs": [pair, 7]}
    file.write_text(json.dumps({"actions": ACTIONS, "interference": wrong}))
    with pytest.raises(InputError) as caught:
        read_catalogue(file)
    assert [problem.removeprefix(f"{file}: interference.") for problem in caught.value.problems] == [
        "days: must be a whole number of at least 1",
        "fatigue.kept: must be a number of at least 0",
        "fatigue.stderr: must be a number of at least 0",
        "pairs[0].where: no action has slot 'roof'",
        'pairs[0].beside: must be an object like {"product": "audiobooks"}',
        "pairs[0].kept: must be a number of at least 0",
        "pairs[0].stderr: must be a number of at least 0",
        "pairs[0].basis: 'a guess' is not one of history, same week",
        'pairs[1]: must be an object like {"kept": 0.9, "stderr": 0.02}',
    ]


def test_the_upper_bound_of_a_factor_is_that_of_a_normal() -> None:
    assert Kept(0.4, 0.1).at_most == pytest.approx(0.4 + 0.1 * 1.2815516)


def test_a_text_column_of_too_many_values_is_no_segment(tmp_path: Path) -> None:
    """A postcode may be a feature of the model: it is carried along, and nothing can be said of it."""
    users = 10_001
    catalogue = Catalogue(ACTIONS, (Metric("subs", "subscribers"),), ("market", "postcode"))
    write_catalogue(tmp_path / "catalogue.json", catalogue)
    columns = {
        "user_id": pa.array(range(users)),
        "market": pa.array(["SE", "NO", "SE"] * 3_333 + ["NO"] * 2),
        "postcode": pa.array([f"{n:05d}" for n in range(users)]),
        "mean_subs": pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * users), pa.float32()), 2),
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    scores = open_scores(tmp_path)
    assert dict(scores.vocabulary) == {"market": ("NO", "SE")}
    assert [set(shard.segments) for shard in scores.shards()] == [{"market"}]
    whole = pa.table(columns)
    pq.write_table(pa.concat_tables([whole.slice(0, 10_000), whole.slice(0, 2_000)]), tmp_path / "p.parquet")
    assert len(open_scores(tmp_path).vocabulary["postcode"]) == 10_000
    for rows, values in {20: 20, 30: 0}.items():  # one for every user is an id by another name
        pq.write_table(whole.slice(0, rows), tmp_path / "p.parquet")
        assert len(open_scores(tmp_path).vocabulary.get("postcode", ())) == values


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metrics": [{"name": "subs", "unit": 3}]}, "metrics: the unit of 'subs' must be text"),
        (
            {"metrics": [{"name": "subs", "unit": "subscribers", "error_correlation": 1.5}]},
            "metrics: the error_correlation of 'subs' must be a number from 0 to 1",
        ),
        ({"error_groups": 3}, "error_groups: must be the name of an attribute"),
        ({"segments": ["market", "market"]}, "segments: 'market' stands 2 times"),
        ({"segments": ["user_id"]}, "segments: 'user_id' is the name of another column"),
        ({"segments": [3]}, "segments: must be a list of column names"),
        ({"actions": [{"id": ["a"], "slot": "s"}]}, r"actions\[0\].id: must be a string"),
        ({"actions": [{"id": "a", "slot": "s", "n": 1e40}]}, r"actions\[0\].n: must be a number of at most 1e\+30"),
        ({"as_of": "9999-12-31"}, "as_of: 9999-12-31 is not between the years 1000 and 2999"),
    ],
)
def test_a_catalogue_of_wrong_types_is_told(tmp_path: Path, change: dict, told: str) -> None:
    content = {"actions": list(ACTIONS), "metrics": [{"name": "subs"}], "segments": ["market"]} | change
    (tmp_path / "catalogue.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=told):
        read_catalogue(tmp_path / "catalogue.json", with_metrics=True)


def test_actions_with_one_value_of_an_attribute_share_errors(tmp_path: Path) -> None:
    products = ("duo", "books", "duo", None)
    actions = tuple({"id": str(k), "slot": "s", "product": product} for k, product in enumerate(products))
    metrics = (Metric("subs", "subscribers", 0.25), Metric("days", "days"))
    written = Catalogue(actions).with_scores(metrics, (), "m", None, error_groups="product")
    write_catalogue(tmp_path / "catalogue.json", written)
    read = read_catalogue(tmp_path / "catalogue.json")
    assert read.error_group_A.tolist() == [0, 1, 0, 2]
    assert read.error_correlation == {"subs": 0.25, "days": 0.0}
    assert Catalogue(actions).error_group_A.tolist() == [0, 1, 2, 3], "each alone where nothing is said"
    assert "error_correlation" not in json.loads((tmp_path / "catalogue.json").read_text())["metrics"][1]


def test_text_among_numbers_counts_nothing() -> None:
    actions = (
        {"id": "a", "slot": "s", "eur": 2},
        {"id": "b", "slot": "s", "eur": "x"},
        {"id": "c", "slot": "s", "eur": True},
    )
    assert Catalogue(actions).numbers("eur").tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_users_are_counted_by_the_values_of_their_segments(tmp_path: Path, kind: pa.DataType) -> None:
    markets = pa.array(["NO", "SE", None, "NO"]).cast(kind)
    scores = write(tmp_path, [numbers(1, 2, 3, 4), numbers(5, 6)], market=markets)
    assert scores.segment_counts(["market"]) == {("NO",): 2, ("SE",): 3, ("",): 1}
    assert scores.segment_counts(["market", "market"])[("SE", "SE")] == 3
    assert scores.segment_counts([]) == {}
