"""Whatever is damaged in an input, its reader finishes or says what is wrong with it: InputError, and no other exception."""

import copy
import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from allocator.audit.judge import audit
from allocator.formats import read_price_book
from allocator.policy.grammar import Policy
from allocator.policy.reader import policy_for, read_policy
from allocator.policy.words import Term
from allocator.previous_contacts import read_history, read_previous
from allocator.problem import build_problem
from allocator.report.collect import Sources, collect
from allocator.users import load_data
from ranker.catalogue import read_catalogue
from ranker.log_schema import read_schema
from ranker.logs import read_logs, read_users
from ranker.market import world
from ranker.market.settings import MarketSettings
from ranker.scores import InputError, open_scores
from ranker.tables.history import check_exposures, write_history
from ranker.tables.prepare import prepare
from ranker.tables.settings import PrepareOptions
from scripts.runs.pointer import published_before
from tests.allocator.instances import AS_OF, catalogue, write_scores

CONF = Path(__file__).resolve().parents[2] / "conf"
FEW, MANY = 60, 400
STRANGE = (
    None, True, -1, 0, 0.5, 1e308, -1e308, 1e-300, 10**30, -(10**30), "", "x", "user_id", "none", "7", "\x00", "ö" * 300, [], {}, [1], [[]],
    {"a": 1}, {"id": None}, [None], float("nan"), float("inf"), "2026-13-45", "9999-12-31", "0001-01-01", [["a"]], {"min": 5, "max": 1},
)  # fmt: skip
RAW = (
    b"", b"{", b"[" * 100_000, b'{"a":' * 3_000, b"\xff\xfe{}", b"null", b"3", b'"x"', b"[]", b"{}", b'{"a": 1e999}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"\\ud800": "\\udfff"}', b"\xef\xbb\xbf{}", b"NaN", b"{}" * 3, b"PAR1", b"PAR1" * 9,
)  # fmt: skip
ZONES = ("UTC", "Europe/Stockholm", "+01:00", "No/Where")
WORDS = (
    "1e308",
    "-1",
    "10%",
    "~",
    "[]",
    "{}",
    "'",
    "[[[",
    "nan",
    "\x00",
    "ö",
    "9" * 30,
    "&a",
    "<<",
    "null",
    "id:",
    "- -",
    "\ud800",
)
ONE = Term(metric="subs", weight=1.0)


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """The way to every value of a JSON file."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def damaged_json(content: object, drawn: random.Random) -> object:
    for _ in range(drawn.choice((1, 1, 2, 5))):
        path = drawn.choice(list(places(content)))
        if not path:
            return copy.deepcopy(drawn.choice(STRANGE))
        parent = content
        for step in path[:-1]:
            parent = parent[step]
        kind = drawn.random()
        if kind < 0.65:
            parent[path[-1]] = copy.deepcopy(drawn.choice(STRANGE))
        elif kind < 0.8:
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        else:
            parent[drawn.choice(("id", "unknown", "", "user_id"))] = copy.deepcopy(parent[path[-1]])
    return content


def damage_json_file(file: Path, drawn: random.Random) -> None:
    kind = drawn.random()
    if kind < 0.7:
        text = json.dumps(damaged_json(json.loads(file.read_text()), drawn))
        file.write_text(text if drawn.random() < 0.9 else text.replace("a", "\\ud800", 1))
    elif kind < 0.85:
        file.write_bytes(drawn.choice(RAW))
    elif kind < 0.95:
        file.write_bytes(flipped(file.read_bytes(), drawn))
    else:
        no_file(file, drawn)


def flipped(content: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(drawn.choice((1, 3, 30))):
        changed[drawn.randrange(len(changed))] ^= 1 << drawn.randrange(8)
    return bytes(changed[: drawn.randrange(len(changed))] if drawn.random() < 0.2 else changed)


def no_file(file: Path, drawn: random.Random) -> None:
    """A folder, a pipe, a socket, a device or nothing where a file belongs."""
    file.unlink()
    kind = drawn.randrange(6)
    if kind == 0:
        file.mkdir()
    elif kind == 1:
        os.mkfifo(file)
    elif kind == 2:
        file.symlink_to("/dev/zero")
    elif kind == 3:
        file.symlink_to("nowhere")
    elif kind == 4:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as made:
            made.bind(str(file))


def columns_like(rows: int, drawn: random.Random) -> pa.Array:
    """A column of some type that does not belong there, or of values that do not."""
    some = [drawn.choice((None, -1, 0, 1, 7, 2**31 - 1)) for _ in range(rows)]
    texts = [None if x is None else drawn.choice(("", "none", "7", "\x00", "x" * 40, "ö")) for x in some]
    number = drawn.choice((np.nan, np.inf, 1e300, -1e300, 1e-300, 0.5))
    lists = [drawn.choice((None, [], [1.0], [None, 2.0], [float("nan")] * 12)) for _ in range(rows)]
    invalid = pa.Array.from_buffers(
        pa.string(), rows, [None, pa.py_buffer(np.arange(rows + 1, dtype=np.int32)), pa.py_buffer(b"\xff" * rows)]
    )
    return drawn.choice(
        (
            lambda: pa.array(some, pa.int64()),
            lambda: pa.array([x if x is None else abs(x) + 2**63 for x in some], pa.uint64()),
            lambda: pa.array(texts, pa.string()),
            lambda: pa.array(texts, pa.string_view()),
            lambda: pa.array(texts).dictionary_encode(),
            lambda: pa.array([number] * rows, pa.float64()),
            lambda: pa.array([drawn.choice((None, number, 1.0)) for _ in range(rows)], pa.float64()),
            lambda: pa.nulls(rows),
            lambda: pa.nulls(rows, pa.string()),
            lambda: pa.nulls(rows, pa.float64()),
            lambda: pa.array([x is not None for x in some]),
            lambda: pa.array([None if x is None else min(x, 9) * 1000 for x in some], pa.int32()),
            lambda: pa.array(some, pa.int32()).cast(pa.date32()),
            lambda: pa.array([date(1, 1, 1), date(9999, 12, 31)] * rows, pa.date32())[:rows],
            lambda: pa.array(some, pa.int64()).cast(pa.timestamp("s", tz=drawn.choice(ZONES))),
            lambda: pa.array([2**63 - 1, -(2**63)] * rows, pa.int64())[:rows].cast(pa.timestamp("us")),
            lambda: pa.array(lists, pa.list_(pa.float64())),
            lambda: pa.array([None if x is None else [True] * (x % 3) for x in some], pa.list_(pa.bool_())),
            lambda: pa.array(lists, pa.large_list(pa.float32())),
            lambda: pa.array([{"a": 1}] * rows),
            lambda: pa.array([b"\xff"] * rows, pa.binary()),
            lambda: invalid,
        )
    )()  # fmt: skip


def damage_parquet(file: Path, drawn: random.Random) -> None:
    kind, table = drawn.random(), pq.read_table(file)
    if kind < 0.1:
        no_file(file, drawn)
    elif kind < 0.3:
        pq.write_table(table, file, compression=drawn.choice(("none", "snappy", "zstd")))
        file.write_bytes(flipped(file.read_bytes(), drawn))
    elif kind < 0.35:
        file.write_bytes(drawn.choice(RAW))
    else:
        damage_columns(file, table, drawn)


def damage_columns(file: Path, table: pa.Table, drawn: random.Random) -> None:
    for _ in range(drawn.choice((1, 1, 3))):
        name = drawn.choice(table.column_names)
        place, act = table.schema.get_field_index(name), drawn.random()
        if act < 0.7:
            table = table.set_column(place, name, columns_like(len(table), drawn))
        elif act < 0.8 and table.num_columns > 1:
            table = table.drop_columns(name)
        elif act < 0.87:
            pq.write_table(table.append_column(name, table.column(place)), file)
            return
        elif act < 0.92:
            table = table.slice(0, 0)
        elif act < 0.96:
            table = pa.concat_tables([table, table])
        else:
            other = drawn.choice(table.column_names)
            table = table.rename_columns({name: other, other: name} if name != other else {name: f"{name} "})
    target = file if drawn.random() < 0.8 else file.with_name("part-9.parquet")
    pq.write_table(table, target)


POLICY = """version: 1
objective: [{metric: subs, weight: 1.0}, {metric: opt_out, weight: -25.0}]
contact: [{id: month, max: 2, days: 28, where: {surface: push}}, {id: once, max: 1, each: product}]
constraints:
  - {id: books, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 5%, max: 90%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 250000}
  - {id: roi, kind: ratio, metric: revenue, per: {metric: subs}, min: 0.5, valid_from: 2026-01-01}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small inputs of every sort, undamaged."""
    folder = tmp_path_factory.mktemp("whole")
    settings = OmegaConf.merge(OmegaConf.load(CONF / "data" / "market.yaml"), {"users": 12, "truth": False})
    world.write(MarketSettings.model_validate(OmegaConf.to_container(settings)), 1, folder)
    (folder / "logs").mkdir()
    prepare(folder / "tables", folder / "logs", PrepareOptions())
    write_scores(folder / "scores", 20, 1)
    (folder / "scores" / "history").mkdir()
    ids, actions = pa.array([3, 10, 3]), pa.array([*catalogue().ids[:3]])
    history = {"user_id": ids, "action": actions, "date": pa.array([AS_OF] * 3)}
    pq.write_table(pa.table(history), folder / "scores" / "history" / "p.parquet")
    (folder / "earlier").mkdir()
    texts = {"slot": pa.array(["x"] * 3), "runner_up": pa.nulls(3, pa.string()), "source": pa.array(["optimised"] * 3)}
    numbers = {name: pa.array([1.0] * 3) for name in ("value", "margin", "propensity")}
    pq.write_table(pa.table({"user_id": ids, "action": actions, **texts, **numbers}), folder / "earlier" / "p.parquet")
    (folder / "earlier" / "prices.json").write_text('{"rows": [{"constraint": "c", "side": "max", "multiplier": 0.5}]}')
    certificate = {"status": "optimal", "users": 20, "contacts": 3, "value": 3.0, "bound": 3.0, "gap": 0.0}
    certificate |= {"constraints": [], "metrics": {}}
    (folder / "earlier" / "certificate.json").write_text(json.dumps(certificate))
    pointer = {
        "run": "r",
        "at": "now",
        "previous": None,
        "allocation": "r/a",
        "allocation_digest": "d",
        "action": "publish",
    }
    (folder / "runs").mkdir()
    (folder / "runs" / "published.json").write_text(json.dumps(pointer))
    (folder / "runs" / "published_history.jsonl").write_text(json.dumps(pointer))
    return folder


def read_the_scores(folder: Path) -> None:
    scores = open_scores(folder / "scores")
    scores.check_users()
    list(scores.shards())


def solve_nothing(folder: Path) -> None:
    """As far as allocating reads."""
    scores = open_scores(folder / "scores")
    (folder / "policy.yaml").write_text(POLICY)
    policy = policy_for(folder / "policy.yaml", {}, scores).active(scores.catalogue.as_of)
    load_data(build_problem(scores, policy), scores)


def read_what_was_before(folder: Path) -> None:
    scores = open_scores(folder / "scores")
    read_previous(scores, folder / "earlier")
    read_price_book(folder / "earlier")
    read_history(scores, ["r"], 28)


def judge(folder: Path) -> None:
    audit(folder / "scores", Policy(objective=(ONE,)), folder / "earlier")


def write_logs_of(folder: Path) -> None:
    (folder / "out").mkdir()
    prepare(folder / "tables", folder / "out", PrepareOptions(rows_at_once=30))


def write_history_of(folder: Path) -> None:
    shutil.rmtree(folder / "scores" / "history")
    check_exposures(folder / "tables" / "exposures", folder / "users")
    write_history(folder / "tables" / "exposures", "none", folder / "scores")


def stream_users(folder: Path) -> None:
    list(read_users(folder / "users", read_schema(folder / "logs" / "schema.json"), 60))


def page(folder: Path) -> None:
    collect(Sources(folder / "earlier", folder / "scores"))


def damaged_policy(folder: Path, drawn: random.Random) -> None:
    text = POLICY
    words = POLICY.replace("{", " ").replace("}", " ").replace(",", " ").split()
    for _ in range(drawn.choice((1, 1, 3))):
        text = text.replace(drawn.choice(words), drawn.choice(WORDS), 1)
    (folder / "scores" / "policy.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    scores = open_scores(folder / "scores")
    read = read_policy(folder / "scores" / "policy.yaml", {}, scores.catalogue, {"market": frozenset({"SE", "NO"})})
    load_data(build_problem(scores, read), scores)


READERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "scores": (read_the_scores, ("scores/*",)),
    "allocate": (solve_nothing, ("scores/*", "scores/history/*")),
    "before": (read_what_was_before, ("earlier/p.parquet", "earlier/prices.json", "scores/history/*")),
    "audit": (judge, ("earlier/*",)),
    "report": (page, ("earlier/*",)),
    "logs": (lambda folder: read_logs(folder / "logs"), ("logs/*",)),
    "users": (stream_users, ("users/*", "logs/schema.json")),
    "tables": (write_logs_of, ("tables/*", "tables/*/*", "catalogue.json")),
    "history": (write_history_of, ("tables/exposures/*", "users/*")),
    "catalogue": (lambda folder: read_catalogue(folder / "catalogue.json"), ("catalogue.json",)),
    "pointers": (lambda folder: published_before(folder / "runs"), ("runs/*",)),
}


def damage(folder: Path, patterns: tuple[str, ...], drawn: random.Random) -> str:
    files = sorted(
        file
        for each in patterns
        for file in folder.glob(each)
        if file.is_file() and file.suffix in (".json", ".parquet")
    )
    chosen = drawn.choice(files)
    {".json": damage_json_file, ".parquet": damage_parquet}[chosen.suffix](chosen, drawn)
    return chosen.relative_to(folder).as_posix()


def finishes_or_tells(whole: Path, folder: Path, name: str, seed: int) -> None:
    read, patterns = READERS[name]
    shutil.copytree(whole, folder)
    drawn = random.Random(f"{name} {seed}")
    file = damage(folder, patterns, drawn)
    try:
        read(folder)
    except InputError as error:
        assert error.problems and all(len(problem) < 4_000 for problem in error.problems)
    except Exception as error:
        raise AssertionError(f"{name}, seed {seed}, {file}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_told(whole: Path, tmp_path: Path, name: str) -> None:
    for seed in range(FEW):
        finishes_or_tells(whole, tmp_path / "damaged", name, seed)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_told(whole: Path, tmp_path: Path, name: str) -> None:
    for seed in range(FEW, MANY):
        finishes_or_tells(whole, tmp_path / "damaged", name, seed)


def test_a_damaged_policy_is_told(whole: Path, tmp_path: Path) -> None:
    for seed in range(FEW):
        folder = tmp_path / str(seed)
        shutil.copytree(whole / "scores", folder / "scores")
        try:
            damaged_policy(folder, random.Random(seed))
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
