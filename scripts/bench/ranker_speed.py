"""How long the ranker takes, and how much memory: training on made-up logs, and scoring users, next to matrix products alone.

A row of the logs has FEATURES features (a quarter of them text), one of 60 actions or none, and four outcomes of three kinds. Axes: R
rows (of logs, or of users).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ranker.log_schema import SCHEMA_FILE, LogSchema, Outcome, write_schema
from ranker.logs import write_logs
from ranker.model.artifact import load_model
from scripts import score, train
from scripts.bench.ranker_figures import Speed
from scripts.cli.settings import ScorePaths, ScoreSettings, Settings, TrainPaths, TrainSettings

FEATURES, TEXTS = 40, 10
SLOTS, OFFERS = 6, 10
LEVELS = 8
ROWS_AT_ONCE = 100_000
TRAINING, SCORING = "train", "score"
SCHEMA = LogSchema(
    numeric=tuple(f"n{i:02d}" for i in range(FEATURES - TEXTS)),
    categorical=tuple(f"c{i:02d}" for i in range(TEXTS)),
    outcomes=(
        Outcome("subs", "binary", "subscribers"),
        Outcome("mau", "binary", "users"),
        Outcome("days", "count", "days"),
        Outcome("revenue", "amount", "EUR"),
    ),
    none="none",
)
ACTIONS = tuple(
    {"id": f"slot_{s}/offer_{o}", "slot": f"slot_{s}", "surface": f"surface_{s // 2}", "product": f"product_{o}"}
    for s in range(SLOTS)
    for o in range(OFFERS)
)


def make(rows: int, seed: int, folder: Path) -> None:
    """Writes logs/ of so many decisions, two of each user, and users/ with half as many."""
    generator = np.random.default_rng(seed)
    for name in ("logs", "users"):
        (folder / name).mkdir()
    write_logs(folder / "logs", SCHEMA, ACTIONS, _decisions(rows, generator))
    write_schema(folder / "users" / SCHEMA_FILE, SCHEMA)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows // 2, ROWS_AT_ONCE):
        frame = _features(min(ROWS_AT_ONCE, rows // 2 - start), generator)
        frame.insert(0, "user_id", np.arange(start, start + len(frame)))
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pq.ParquetWriter(folder / "users" / "part-00000.parquet", table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _features(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    numeric_RI = generator.lognormal(0.0, 1.0, (rows, len(SCHEMA.numeric))).astype(np.float32)
    numeric_RI[generator.random(numeric_RI.shape) < 0.02] = np.nan
    words = np.array([f"value_{level}" for level in range(LEVELS)])
    columns = {name: numeric_RI[:, i] for i, name in enumerate(SCHEMA.numeric)}
    columns |= {name: words[generator.integers(0, LEVELS, rows)] for name in SCHEMA.categorical}
    return pd.DataFrame(columns)


def _decisions(rows: int, generator: np.random.Generator) -> Iterator[pd.DataFrame]:
    ids = np.array([*(str(action["id"]) for action in ACTIONS), SCHEMA.none])
    chance = np.append(np.full(len(ACTIONS), 0.75 / len(ACTIONS)), 0.25)
    for start in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - start)
        frame = _features(count, generator)
        arm_R = generator.choice(len(ids), count, p=chance)
        taste_R = np.nan_to_num(np.log(frame["n00"].to_numpy()))
        link_R = 0.3 * taste_R + (arm_R < len(ACTIONS)) * (0.2 + 0.2 * np.nan_to_num(np.log(frame["n01"].to_numpy())))
        subs_R = generator.random(count) < 1 / (1 + np.exp(3.5 - link_R))
        yield frame.assign(
            user_id=(start + np.arange(count)) // 2,
            as_of=pd.Timestamp("2026-11-16") - pd.to_timedelta(7 * (np.arange(count) % 2), unit="D"),
            action=ids[arm_R],
            propensity=chance[arm_R],
            subs=subs_R.astype(float),
            mau=(generator.random(count) < 1 / (1 + np.exp(-link_R))).astype(float),
            days=generator.poisson(np.exp(0.3 + 0.2 * link_R)).astype(float),
            revenue=np.where(subs_R, generator.lognormal(2.5, 0.5, count), 0.0),
        )


def run_training(settings: Settings, rows: int, folder: Path) -> Speed:
    """The train command, from logs on disk to a model on disk, evaluated."""
    paths = TrainPaths(logs=folder / "logs", model=folder / "model")
    seconds, cpu = _seconds(lambda: train.run(_with(settings, TrainSettings, paths)))
    model, _ = load_model(folder / "model")
    width, outcomes = model.encoder.width, len(model.targets)
    floor = outcomes * _product_seconds(rows, width, width)
    return Speed(
        TRAINING,
        rows,
        seconds={"all": seconds},
        cpu=cpu,
        floor=floor,
        floor_of=f"{outcomes} x X'X, X {rows:,} x {width}",
    )


def run_scoring(settings: Settings, users: int, folder: Path) -> Speed:
    """The score command, from users on disk to a scores dataset on disk."""
    paths = ScorePaths(model=folder / "model", users=folder / "users", scores=folder / "scores")
    seconds, cpu = _seconds(lambda: score.run(_with(settings, ScoreSettings, paths)))
    model, _ = load_model(folder / "model")
    width, columns = model.encoder.width, len(ACTIONS) * len(model.targets)
    floor = _product_seconds(users, columns, width)
    return Speed(
        SCORING,
        users,
        seconds={"all": seconds},
        cpu=cpu,
        floor=floor,
        floor_of=f"X B, X {users:,} x {width}, B {width} x {columns}",
    )


def _with(settings: Settings, kind: type[Settings], paths: object) -> Settings:
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return kind.model_construct(**(held | {"paths": paths}))


def _product_seconds(rows: int, columns: int, width: int) -> float:
    """A float32 product [columns, width] x [width, rows], in blocks of rows, on as many threads as torch takes by itself."""
    block = min(rows, ROWS_AT_ONCE)
    left, right = torch.ones(columns, width), torch.ones(width, block)
    torch.matmul(left, right)
    return min(_seconds(lambda: torch.matmul(left, right))[0] for _ in range(3)) * rows / block


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all cores together."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used
