"""Everything the page shows, as one frozen record: counted in a single stream over the scores and the contacts.

Axes: U users, A actions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from allocator.certify.certificate import value_unit
from allocator.formats import (
    AUDIT,
    CERTIFICATE,
    POLICY,
    PRICES,
    AuditRecord,
    Certificate,
    ConstraintRecord,
    FunnelStage,
    LeftOutRecord,
    MetricTotal,
)
from allocator.left_out import who_is_left_out
from allocator.policy.grammar import Policy
from allocator.report.last_week import EarlierFolders, LastWeek, read_last_week
from allocator.report.policy_used import PolicyUsed, policy_beside, policy_used
from allocator.report.records import Evaluation, Read, RehearsalTable, TruthTable, read_record
from allocator.report.sentences import formula
from ranker.catalogue import Catalogue
from ranker.columns import is_id, is_number, is_text, type_of_ids
from ranker.files import InputError, batches, parquet_schema, read_json, some_parquet_files
from ranker.scores import Scores, Shard, open_scores

ROWS_PER_SHARD = 65_536
MOST_SEGMENTS = 6
MOST_VALUES = 30


@dataclass(frozen=True)
class Sources:
    """Where a report reads from. model, rehearsal, truth: optional; `rehearsal` is a file of promises on held-out users, `truth` one that
    compares policies on a synthetic market. policy_file: as the run named it; run: its name; previous: the allocation before this one."""

    allocation: Path
    scores: Path
    model: Path | None = None
    rehearsal: Path | None = None
    truth: Path | None = None
    policy_name: str | None = None
    policy_file: Path | None = None
    run: str | None = None
    previous: EarlierFolders | None = None


@dataclass(frozen=True)
class Grid:
    """Contacts in two directions. contacts, value: [rows, columns]."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    contacts: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class SegmentGrid(Grid):
    """One whose columns are the values of a segment; column_users: users behind each."""

    column_users: np.ndarray


@dataclass(frozen=True)
class Placements:
    """What was allocated. row_word, column_word, bar_word: the catalogue attributes behind rows, columns and bars."""

    row_word: str
    column_word: str | None
    by_column: Grid | None
    by_segment: Mapping[str, SegmentGrid]
    bar_word: str
    bars: Mapping[str, int]
    sources: Mapping[str, int]


@dataclass(frozen=True)
class Unreached:
    """Users without an offer, by the first reason that applies."""

    nothing_eligible: int
    nothing_worthwhile: int
    held_back: int

    @property
    def users(self) -> int:
        return self.nothing_eligible + self.nothing_worthwhile + self.held_back


@dataclass(frozen=True)
class Report:
    """All of the page. value_unit: the unit of the objective; warnings: where the sources disagree with one another.

    policy: as it was used, where the allocation holds it; used: the same beside its file; left_out: ids of the rules that this run left
    out of it. exposure: who gets no offers, where policy, prices and scores still tell. contacts: by action id. last_week: None where
    the run knows of no allocation before it.
    """

    catalogue: Catalogue
    certificate: Certificate
    policy: Policy | None
    used: PolicyUsed | None
    left_out: tuple[str, ...]
    value_unit: str
    policy_name: str
    run: str | None
    reached: int
    contacts: Mapping[str, int]
    last_week: LastWeek | None
    placements: Placements
    unreached: Unreached
    exposure: LeftOutRecord | None
    funnel: tuple[FunnelStage, ...]
    metrics: Mapping[str, MetricTotal]
    audit: AuditRecord | None
    evaluation: Evaluation | None
    rehearsal: RehearsalTable | None
    truth: TruthTable | None
    provenance: Mapping[str, Mapping[str, str]]
    warnings: tuple[str, ...]


def collect(sources: Sources) -> Report:
    """Reads and counts; InputError lists what is missing or wrong in each file."""
    certificate = read_record(sources.allocation / CERTIFICATE, Certificate)
    scores = open_scores(sources.scores)
    tally = _count(_read_contacts(sources.allocation, scores), scores, certificate)
    policy, changes = policy_beside(sources.allocation / POLICY), _changes(sources.allocation / "manifest.json")
    audit_file = sources.allocation / AUDIT
    evaluation_file = None if sources.model is None else sources.model / "evaluation.json"
    return Report(
        catalogue=scores.catalogue,
        certificate=_with_named_tiers(certificate, scores.catalogue),
        policy=policy,
        used=None if policy is None else policy_used(policy, sources.policy_file, changes, scores),
        left_out=tuple(name for name, fields in changes.items() if fields is None),
        value_unit=value_unit(certificate.objective, scores.catalogue),
        policy_name=sources.policy_name or certificate.policy or "unnamed policy",
        run=sources.run,
        reached=tally.reached,
        contacts=dict(zip(scores.catalogue.ids, tally.contacts_A.tolist(), strict=True)),
        last_week=None if sources.previous is None else read_last_week(sources.previous, scores.catalogue),
        placements=_placements(tally, scores),
        unreached=tally.unreached,
        exposure=None if policy is None else _exposure(sources.allocation, scores),
        funnel=certificate.funnel or tally.funnel(scores),
        metrics=certificate.metrics,
        audit=read_record(audit_file, AuditRecord) if audit_file.exists() else None,
        evaluation=_optional(evaluation_file, Evaluation),
        rehearsal=_optional(sources.rehearsal, RehearsalTable),
        truth=_optional(sources.truth, TruthTable),
        provenance=_provenance(sources),
        warnings=tuple(_disagreements(certificate, policy, tally, scores)),
    )


def _exposure(allocation: Path, scores: Scores) -> LeftOutRecord | None:
    """Who is left out; None where the allocation has no prices, or the scores not all that its policy speaks of."""
    if not (allocation / PRICES).exists():
        return None
    try:
        return who_is_left_out(allocation, scores)
    except InputError:
        return None


def _changes(manifest: Path) -> Mapping[str, object]:
    """What `set.` changed. A rule that is null was taken away, by hand or by the week for lack of an allocation to compare with."""
    content = read_json(manifest) if manifest.exists() else None
    config = content.get("config") if isinstance(content, dict) else None
    changed = config.get("set") if isinstance(config, dict) else None
    return changed if isinstance(changed, dict) else {}


def _with_named_tiers(certificate: Certificate, catalogue: Catalogue) -> Certificate:
    """The floors of earlier objectives go by what they are about, in its unit."""
    about = {tier.id: (position, tier.objective) for position, tier in enumerate(certificate.tiers, start=1)}

    def named(record: ConstraintRecord) -> ConstraintRecord:
        if record.id not in about:
            return record
        position, terms = about[record.id]
        words = {"label": f"Objective {position} ({formula(terms)})", "unit": value_unit(terms, catalogue)}
        return record.model_copy(update=words)

    return certificate.model_copy(update={"constraints": tuple(named(record) for record in certificate.constraints)})


@dataclass(frozen=True)
class _Contacts:
    """The rows of the allocation. user: ids as in the scores; action: int64, -1 where the catalogue lacks the id; value."""

    user: pa.Array
    action: np.ndarray
    value: np.ndarray
    sources: Mapping[str, int]


@dataclass
class _Tally:
    """Counts that grow from shard to shard."""

    contacts_A: np.ndarray
    value_A: np.ndarray
    contacts: dict[str, np.ndarray]
    value: dict[str, np.ndarray]
    users: dict[str, np.ndarray]
    sources: Mapping[str, int]
    rows: int
    row_value: float
    unmatched: int = 0
    reached: int = 0
    eligible_pairs: int = 0
    eligible_users: int = 0
    worthwhile_pairs: int = 0
    worthwhile_users: int = 0
    without: list[int] = field(default_factory=lambda: [0, 0, 0])

    @property
    def unreached(self) -> Unreached:
        return Unreached(*self.without)

    def funnel(self, scores: Scores) -> tuple[FunnelStage, ...]:
        """The funnel from the scores alone, for allocations whose certificate holds none."""
        pairs = scores.users * len(scores.catalogue.actions)
        return (
            FunnelStage(stage="candidates", contacts=pairs, users=scores.users),
            FunnelStage(stage="eligible", contacts=self.eligible_pairs, users=self.eligible_users),
            FunnelStage(stage="worth showing", contacts=self.worthwhile_pairs, users=self.worthwhile_users),
            FunnelStage(stage="allocated", contacts=self.rows, users=self.reached),
        )


def _read_contacts(allocation: Path, scores: Scores) -> _Contacts:
    user_type = type_of_ids(parquet_schema(scores.files[0]).field("user_id").type)
    wanted = {"user_id": is_id, "action": is_text, "value": is_number, "source": is_text}
    files, problems = some_parquet_files(allocation), []
    for file in files:
        kinds = {field.name: field.type for field in parquet_schema(file)}
        for name, fits in wanted.items():
            if name not in kinds:
                problems.append(f"{file}: column {name}: is missing")
            elif not fits(kinds[name]):
                problems.append(f"{file}: column {name}: has type {kinds[name]}, as no allocation has it")
            elif name == "user_id" and type_of_ids(kinds[name]) != user_type:
                problems.append(f"{file}: column user_id: has type {kinds[name]}; the scores have {user_type}")
    if problems:
        raise InputError(problems)
    schema = pa.schema({"user_id": user_type, "action": pa.string(), "value": pa.float64(), "source": pa.string()})
    parts = [batch.cast(schema) for file in files for batch in batches(file, ROWS_PER_SHARD, schema.names)]
    table = pa.Table.from_batches(parts, schema)
    user = table["user_id"].combine_chunks()
    action = pc.index_in(table["action"].combine_chunks(), pa.array(scores.catalogue.ids))
    counts = pc.value_counts(table["source"].combine_chunks()).to_pylist()
    return _Contacts(
        user=user,
        action=action.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64),
        value=table["value"].to_numpy().astype(np.float64),
        sources={str(count["values"]): count["counts"] for count in counts},
    )


def _count(contacts: _Contacts, scores: Scores, certificate: Certificate) -> _Tally:
    """Walks once over the scores. Rows that found their user leave the search, so later shards search less."""
    actions = len(scores.catalogue.actions)
    segments = _shown_segments(scores)
    shapes = {name: (len(scores.vocabulary[name]), actions) for name in segments}
    tally = _Tally(
        contacts_A=np.zeros(actions, np.int64),
        value_A=np.zeros(actions),
        contacts={name: np.zeros(shape, np.int64) for name, shape in shapes.items()},
        value={name: np.zeros(shape) for name, shape in shapes.items()},
        users={name: np.zeros(shape[0], np.int64) for name, shape in shapes.items()},
        sources=contacts.sources,
        rows=len(contacts.action),
        row_value=float(contacts.value.sum()),
    )
    waiting = np.flatnonzero(contacts.action >= 0)
    tally.unmatched = len(contacts.action) - len(waiting)
    for shard in scores.shards(ROWS_PER_SHARD, check=False):
        place = pc.index_in(contacts.user.take(pa.array(waiting)), value_set=shard.user_id)
        here = place.is_valid().to_numpy(zero_copy_only=False)
        rows = waiting[here]
        user = place.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
        _add_contacts(tally, shard, user, contacts.action[rows], contacts.value[rows])
        _add_users(tally, shard, user, certificate, scores.catalogue)
        waiting = waiting[~here]
    tally.unmatched += len(waiting)
    return tally


def _add_contacts(tally: _Tally, shard: Shard, user: np.ndarray, action: np.ndarray, value: np.ndarray) -> None:
    """user: position in the shard of every contact; action: its position in the catalogue."""
    np.add.at(tally.contacts_A, action, 1)
    np.add.at(tally.value_A, action, value)
    for name in tally.contacts:
        codes = shard.segments[name]
        np.add.at(tally.contacts[name], (codes[user], action), 1)
        np.add.at(tally.value[name], (codes[user], action), value)
        tally.users[name] += np.bincount(codes, minlength=len(tally.users[name]))


def _add_users(tally: _Tally, shard: Shard, user: np.ndarray, certificate: Certificate, catalogue: Catalogue) -> None:
    reached_U = np.zeros(len(shard), bool)
    reached_U[user] = True
    worthwhile_UA = shard.eligible_UA & (_value_of(shard, certificate, catalogue) > 0)
    eligible_U, worthwhile_U = shard.eligible_UA.any(axis=1), worthwhile_UA.any(axis=1)
    tally.reached += int(reached_U.sum())
    tally.eligible_pairs += int(shard.eligible_UA.sum())
    tally.eligible_users += int(eligible_U.sum())
    tally.worthwhile_pairs += int(worthwhile_UA.sum())
    tally.worthwhile_users += int(worthwhile_U.sum())
    tally.without[0] += int((~reached_U & ~eligible_U).sum())
    tally.without[1] += int((~reached_U & eligible_U & ~worthwhile_U).sum())
    tally.without[2] += int((~reached_U & worthwhile_U).sum())


def _value_of(shard: Shard, certificate: Certificate, catalogue: Catalogue) -> np.ndarray:
    """float64[U, A]: value = sum of weight * (mean, made cautious by risk z) * times. Without an objective all is worth 1."""
    known = {metric.name for metric in catalogue.metrics}
    terms = [term for term in certificate.objective if term.metric in known or term.metric is None]
    if not terms:
        return np.ones(shard.eligible_UA.shape)
    value_UA = np.zeros(shard.eligible_UA.shape)
    for term in terms:
        times_A = 1.0 if term.times is None else catalogue.numbers(term.times)
        if term.metric is None:
            value_UA += term.weight * times_A
            continue
        mean_UA = shard.mean[term.metric].astype(np.float64)
        if certificate.risk_z and term.metric in shard.stderr:
            mean_UA = mean_UA - np.sign(term.weight) * certificate.risk_z * shard.stderr[term.metric]
        value_UA += term.weight * mean_UA * times_A
    return value_UA


def _shown_segments(scores: Scores) -> tuple[str, ...]:
    """Market first, then the others as they stand; segments with too many values to look at are left out."""
    names = [name for name in scores.catalogue.segments if 1 <= len(scores.vocabulary[name]) <= MOST_VALUES]
    return tuple(sorted(names, key=lambda name: name != "market")[:MOST_SEGMENTS])


def _placements(tally: _Tally, scores: Scores) -> Placements:
    catalogue = scores.catalogue
    row_word = _attribute(catalogue, ("product", "offer")) or "action"
    column_word = _attribute(catalogue, ("surface",)) or ("slot" if len(set(catalogue.slots)) > 1 else None)
    if row_word == "action" and column_word == "slot":
        column_word = None  # every action is its own slot: one direction says it all
    bar_word = _attribute(catalogue, ("message",)) or row_word
    row_A = _labels(catalogue, row_word)
    return Placements(
        row_word=row_word,
        column_word=column_word,
        by_column=None if column_word is None else _cross(tally, row_A, _labels(catalogue, column_word)),
        by_segment={name: _segment_grid(tally, name, row_A, scores.vocabulary[name]) for name in tally.contacts},
        bar_word=bar_word,
        bars=_sum_by(tally.contacts_A, _labels(catalogue, bar_word)),
        sources=tally.sources,
    )


def _attribute(catalogue: Catalogue, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if any(action.get(name) for action in catalogue.actions)), None)


def _labels(catalogue: Catalogue, word: str) -> tuple[str, ...]:
    key = "id" if word == "action" else word
    return tuple(str(action[key]) if action.get(key) is not None else "(none)" for action in catalogue.actions)


def _cross(tally: _Tally, row_A: tuple[str, ...], column_A: tuple[str, ...]) -> Grid:
    rows, columns = tuple(dict.fromkeys(row_A)), tuple(dict.fromkeys(column_A))
    contacts, value = np.zeros((len(rows), len(columns)), np.int64), np.zeros((len(rows), len(columns)))
    place = [rows.index(row) for row in row_A], [columns.index(column) for column in column_A]
    np.add.at(contacts, place, tally.contacts_A)
    np.add.at(value, place, tally.value_A)
    return Grid(rows, columns, contacts, value)


def _segment_grid(tally: _Tally, name: str, row_A: tuple[str, ...], values: tuple[str, ...]) -> SegmentGrid:
    rows = tuple(dict.fromkeys(row_A))
    contacts, value = np.zeros((len(rows), len(values)), np.int64), np.zeros((len(rows), len(values)))
    for action, row in enumerate(row_A):
        contacts[rows.index(row)] += tally.contacts[name][:, action]
        value[rows.index(row)] += tally.value[name][:, action]
    return SegmentGrid(rows, values, contacts, value, tally.users[name])


def _sum_by(contacts_A: np.ndarray, label_A: tuple[str, ...]) -> dict[str, int]:
    totals = dict.fromkeys(label_A, 0)
    for label, count in zip(label_A, contacts_A, strict=True):
        totals[label] += int(count)
    return totals


def _optional(path: Path | None, record: type[Read]) -> Read | None:
    return None if path is None else read_record(path, record)


def _disagreements(certificate: Certificate, policy: Policy | None, tally: _Tally, scores: Scores) -> list[str]:
    found = []
    if policy is not None and certificate.policy_digest not in (None, policy.digest):
        found.append("The policy beside the certificate is not the one that the certificate was made for.")
    if certificate.users != scores.users:
        found.append(f"The certificate counts {certificate.users:,} users, the scores hold {scores.users:,}.")
    if certificate.contacts != tally.rows:
        found.append(f"The certificate counts {certificate.contacts:,} contacts, the allocation holds {tally.rows:,}.")
    if abs(certificate.value + certificate.soft_penalty - tally.row_value) > 1e-6 * max(abs(certificate.value), 1.0):
        counted = tally.row_value - certificate.soft_penalty
        found.append(f"The certificate's value is {certificate.value:,.6g}, the contacts add up to {counted:,.6g}.")
    if tally.unmatched:
        found.append(f"{tally.unmatched:,} contacts name a user or an action that the scores do not have.")
    return found


def _provenance(sources: Sources) -> dict[str, dict[str, str]]:
    """Per stage the scalars and digests of its manifest, flattened; stages without one are left out."""
    found = {}
    directories = {"allocation": sources.allocation, "scores": sources.scores, "model": sources.model}
    for stage, directory in directories.items():
        if directory is not None and (directory / "manifest.json").exists():
            content = read_json(directory / "manifest.json")
            found[stage] = dict(_flat(content, "")) if isinstance(content, dict) else {}
    return found


def _flat(content: object, prefix: str) -> list[tuple[str, str]]:
    if isinstance(content, dict):
        return [
            pair
            for key, value in content.items()
            for pair in _flat(value, f"{prefix}{' / ' if prefix else ''}{Path(key).name}")
        ]
    if isinstance(content, list):
        return [pair for position, value in enumerate(content) for pair in _flat(value, f"{prefix} [{position}]")]
    return [(prefix, "" if content is None else str(content))]
