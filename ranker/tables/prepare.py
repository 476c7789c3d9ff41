"""Tables to logs: validated, joined point in time and written in ranges of users, in constant memory.

Axes: R rows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker import disk
from ranker.catalogue import CATALOGUE_FILE, read_catalogue
from ranker.columns import ROWS_AT_ONCE, as_days, as_flags, as_ids, as_text, is_date, is_text, read_ids
from ranker.files import InputError, batches_of, open_parquet, parquet_rows, parquet_schema
from ranker.log_schema import DECISION, LATE_FILE, SCHEMA_FILE, LateEvents
from ranker.logs import write_logs
from ranker.tables.check import TABLES, Described, as_frame, check_types, check_values, files_of, unlisted
from ranker.tables.join import UserTables, is_known, is_mature, join, key_faults, late_events
from ranker.tables.schema import read_table_schema
from ranker.tables.settings import PrepareOptions

KEYS = {
    "users": ("user_id", "as_of"),
    "exposures": ("user_id", "decided_on", "action"),
    "outcomes": ("user_id", "outcome", "occurred_on"),
}
FAULTS = {
    "users_repeated": ("users", "columns user_id, as_of", "rows repeat an earlier row"),
    "exposures_repeated": (
        "exposures",
        "columns user_id, decided_on, action",
        "rows repeat an earlier row, or its listener, day and slot",
    ),
    "nothing_beside": (
        "exposures",
        "columns user_id, decided_on, action",
        "rows show nothing beside a contact of the same decision",
    ),
    "exposures_without_user": ("exposures", "column user_id", "rows name a user that users/ does not have"),
    "exposures_before_snapshot": (
        "exposures",
        "column decided_on",
        "rows are older than the first snapshot of their user",
    ),
    "outcomes_repeated": ("outcomes", "columns user_id, outcome, occurred_on", "rows repeat an earlier row"),
    "outcomes_without_user": ("outcomes", "column user_id", "rows name a user that users/ does not have"),
}


@dataclass(frozen=True)
class Prepared:
    """What was prepared. decisions: all in the tables; immature: of them, not complete; known_in_part: of those, in the logs apart;
    rows: complete ones in the logs. nothing: complete rows whose action is none. slates: days of listeners with several contacts;
    beside: decisions that showed nothing while another one of that day showed something, which are left out. outcomes: events in the
    tables; late: of them, recorded on `known_before` or later, which count for nothing. unnamed: columns of users that the schema does
    not name. unlisted: rows of users by category whose value its closed list lacks; a value that the model never saw tells it nothing.
    """

    known_before: date
    decisions: int
    immature: int
    known_in_part: int
    rows: int
    nothing: int
    slates: int
    beside: int
    outcomes: int = 0
    late: int = 0
    unnamed: tuple[str, ...] = ()
    unlisted: Mapping[str, int] = field(default_factory=dict)

    @property
    def left_out(self) -> Mapping[str, int]:
        """What is not in the logs, or told in part, by its words; what is 0 is left out."""
        counts = {
            "decisions that are not mature": self.immature,
            "decisions that are known in part": self.known_in_part,
            "decisions that showed nothing beside a contact": self.beside,
            "events that were recorded too late": self.late,
            **{f"columns of users that the schema does not name: {name}": 1 for name in self.unnamed},
            **{f"rows of users whose {name} the schema does not list": rows for name, rows in self.unlisted.items()},
        }
        return {what: count for what, count in counts.items() if count}


def catalogue_of(tables: Path) -> Path:
    """The catalogue within the tables' folder or beside it."""
    inside, beside = tables / CATALOGUE_FILE, tables.parent / CATALOGUE_FILE
    return inside if inside.exists() else beside


def prepare(
    tables: Path, out: Path, settings: PrepareOptions, advance: Callable[[int], object] | None = None
) -> Prepared:
    """Writes logs into the existing directory `out`; InputError lists everything wrong in the tables.

    advance: called with the number of decisions just joined.
    """
    described = _described(tables, settings)
    ranges, slates = _validated(tables, described, settings)
    counts: Counter[str] = Counter()
    late: Counter[str] = Counter()

    def frames() -> Iterator[pd.DataFrame]:
        for low, high in ranges:
            part = _read(tables, described, low, high)
            late.update(late_events(part, described.known_before))
            before = len(part.exposures)
            frame = join(part, described.schema, described.known_before, slates=slates > 0)
            if slates:
                frame[DECISION] += counts["numbered"]
                counts.update(numbered=frame[DECISION].nunique())
            mature_R = is_mature(frame["as_of"], described.schema, described.known_before)
            mature, told = int(mature_R.sum()), int(is_known(part, described.schema, described.known_before).sum())
            counts.update(outcomes=len(part.outcomes), decisions=before, immature=before - mature - (told - len(frame)))
            counts.update(known_in_part=len(frame) - mature, beside=told - len(frame))
            counts.update(nothing=int((frame["action"] == described.schema.none)[mature_R].sum()))
            yield frame
            if advance is not None:
                advance(before)

    rows = write_logs(out, described.schema.log_schema(), described.catalogue.actions, frames())
    if late:
        events = LateEvents(known_before=described.known_before, events=dict(sorted(late.items())))
        disk.write_text(out / LATE_FILE, events.text())
    if rows == 0:
        raise InputError([_nothing_mature(tables, described, counts["decisions"])])
    return Prepared(
        known_before=described.known_before,
        decisions=counts["decisions"],
        immature=counts["immature"],
        known_in_part=counts["known_in_part"],
        rows=rows,
        nothing=counts["nothing"],
        slates=slates,
        beside=counts["beside"],
        outcomes=counts["outcomes"],
        late=late.total(),
        unnamed=_unnamed(tables, described),
        unlisted=unlisted(tables, described),
    )


def _unnamed(tables: Path, described: Described) -> tuple[str, ...]:
    """Columns of users that the schema does not name, so that nothing reads them."""
    named = {"user_id", "as_of", *described.schema.log_schema().features}
    columns = (name for file in files_of(tables, "users") for name in parquet_schema(file).names)
    return tuple(name for name in dict.fromkeys(columns) if name not in named)


def _described(tables: Path, settings: PrepareOptions) -> Described:
    if not tables.is_dir():
        raise InputError([f"{tables}: there is no such folder"])
    problems: list[str] = []
    found = []
    for read, path in ((read_table_schema, tables / SCHEMA_FILE), (read_catalogue, catalogue_of(tables))):
        try:
            found.append(read(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    schema, catalogue = found
    if settings.as_of is not None and settings.as_of > schema.snapshot:
        problems.append(f"prepare.as_of: {settings.as_of} is after the tables were taken ({schema.snapshot})")
    if schema.none in catalogue.ids:
        problems.append(
            f"{catalogue_of(tables)}: '{schema.none}' stands for showing nothing and belongs in no catalogue"
        )
    if problems:
        raise InputError(problems)
    return Described(schema, catalogue, settings.as_of or schema.snapshot)


Range = tuple[object | None, object | None]


def _validated(tables: Path, described: Described, settings: PrepareOptions) -> tuple[list[Range], int]:
    """The ranges of users to work in, and the days of listeners with several contacts.

    InputError with the problems of types, or of values and keys."""
    if problems := list(check_types(tables, described)):
        raise InputError(problems)
    ranges = _ranges(tables, settings.rows_at_once)
    faults = _key_faults(tables, described, ranges)
    if problems := [*check_values(tables, described), *_key_problems(tables, faults)]:
        raise InputError(problems)
    return ranges, faults["slates"]


def _key_faults(tables: Path, described: Described, ranges: list[Range]) -> Counter[str]:
    schema = described.schema
    slots = {str(action["id"]): str(action["slot"]) for action in described.catalogue.actions}
    faults: Counter[str] = Counter()
    for low, high in ranges:
        frames = {name: _keys_of(tables, name, low, high, schema.none) for name in TABLES}
        faults.update(asdict(key_faults(UserTables(**frames, eligible=None), schema, slots)))
    return faults


def _keys_of(tables: Path, name: str, low: object, high: object, none: str) -> pd.DataFrame:
    """Rows whose key is whole. In the holdout an action may be missing: nothing was shown."""
    if name != "exposures":
        return as_frame(_rows(tables, name, low, high, KEYS[name])).dropna()
    there = all(DECISION in pq.read_schema(file).names for file in files_of(tables, name))
    frame = as_frame(_rows(tables, name, low, high, (*KEYS[name], *([DECISION] if there else []))))
    return frame.fillna({"action": none}).dropna(subset=["user_id", "decided_on"])


def _key_problems(tables: Path, faults: Counter[str]) -> Iterator[str]:
    for name, count in faults.items():
        if count and name in FAULTS:
            table, columns, fault = FAULTS[name]
            rows = sum(map(parquet_rows, files_of(tables, table)))
            yield f"{tables / table}: {columns}: {count:,} of {rows:,} {fault}"


def _ranges(tables: Path, rows_at_once: int) -> list[Range]:
    """Half-open ranges of user ids with about rows_at_once decisions each; together they hold every user of every table."""
    column = read_ids(*files_of(tables, "exposures")).drop_null()
    ids = column.take(pc.sort_indices(column)) if len(column) > rows_at_once else column
    cuts = sorted({ids[position].as_py() for position in range(rows_at_once, len(ids), rows_at_once)})
    return list(zip([None, *cuts], [*cuts, None], strict=True))


def _read(tables: Path, described: Described, low: object, high: object) -> UserTables:
    features = described.schema.log_schema().features
    exposures = _rows(tables, "exposures", low, high, ("user_id", "decided_on", "action", "propensity", "eligible"))
    return UserTables(
        users=as_frame(_rows(tables, "users", low, high, ("user_id", "as_of", *features))),
        exposures=as_frame(exposures.select(["user_id", "decided_on", "action", "propensity"])),
        outcomes=as_frame(_rows(tables, "outcomes", low, high, (*KEYS["outcomes"], "recorded_on", "value"))),
        eligible=as_flags(exposures.column("eligible"), len(described.catalogue.actions))
        if "eligible" in exposures.column_names
        else None,
    )


def _rows(tables: Path, name: str, low: object, high: object, columns: tuple[str, ...]) -> pa.Table:
    """The rows of the users low <= id < high; row groups that hold none of them are not read."""
    parts = [_rows_of(file, low, high, columns) for file in files_of(tables, name)]
    return pa.concat_tables(parts, promote_options="permissive")


def _rows_of(file: Path, low: object, high: object, columns: tuple[str, ...]) -> pa.Table:
    """Of one file, of these columns those that it has, in the form that all files have here."""
    with open_parquet(file) as parquet:
        held = [name for name in columns if name in parquet.schema_arrow.names]
        kinds = {name: parquet.schema_arrow.field(name).type for name in held}
        groups = _groups(parquet, low, high)
        parts = [
            _within(_as_here(batch, held), low, high) for batch in batches_of(parquet, file, ROWS_AT_ONCE, held, groups)
        ]
    empty = pa.table({name: _plain(name, pa.chunked_array([], kinds[name])) for name in held})
    return pa.concat_tables([empty, *parts])


def _groups(parquet: pq.ParquetFile, low: object, high: object) -> list[int]:
    """The row groups that may hold users low <= id < high, as far as the file tells."""
    wanted = []
    for group in range(parquet.metadata.num_row_groups):
        columns = map(parquet.metadata.row_group(group).column, range(parquet.metadata.num_columns))
        told = next((c.statistics for c in columns if c.path_in_schema == "user_id"), None)
        known = told is not None and told.has_min_max and type(told.min) in (int, str)
        outside = known and ((low is not None and told.max < low) or (high is not None and told.min >= high))
        wanted += [] if outside else [group]
    return wanted


def _within(table: pa.Table, low: object, high: object) -> pa.Table:
    if low is not None:
        table = table.filter(pc.field("user_id") >= low)
    return table if high is None else table.filter(pc.field("user_id") < high)


def _as_here(batch: pa.RecordBatch, names: Sequence[str]) -> pa.Table:
    return pa.table({name: _plain(name, pa.chunked_array([batch.column(name)])) for name in names})


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if name == "user_id":
        return as_ids(column)
    if name == "eligible":
        return column.cast(pa.list_(pa.bool_()))
    return as_text(column) if is_text(column.type) else as_days(column) if is_date(column.type) else column


def _nothing_mature(tables: Path, described: Described, decisions: int) -> str:
    days = described.schema.matures_after
    return (
        f"{tables / 'exposures'}: column decided_on: none of {decisions:,} decisions is mature on {described.known_before}; "
        f"outcomes are complete {days} days after a decision"
    )
