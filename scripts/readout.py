"""What a week really brought, once its outcomes are in: the holdout against everybody else.

`python -m scripts.readout allocation=DIR tables=DIR out=DIR [scores=DIR policy=FILE]`

Groups are those that the policy drew by salted hash, or those that the exposures record; outcomes and features come from tables in the
format of prepare, taken after the week. Writes readout.json and readout.html and records both in MLflow.

Axes: U users of the scores, A actions, M metrics, K contacts of a slate, X covariates.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from allocator.allocation import read_price_book
from allocator.assign.preassigned import give
from allocator.policy.experiment import exploring, held_out, shares
from allocator.policy.grammar import Policy
from allocator.policy.reader import read_policy
from allocator.problem import FREE, PINNED, build_problem, load_data
from allocator.solve.dual import Users, sweep
from allocator.solve.slates import compile_rules
from ranker.columns import value_problems
from ranker.evaluate.allocated import read_allocation
from ranker.evaluate.lift import Condition, JudgedMetric, Lift, decide, lift, sample_ratio
from ranker.evaluate.objective import OBJECTIVE
from ranker.evaluate.week import OutcomeWeek, read_week
from ranker.files import InputError, batches, parquet_files, parquet_schema
from ranker.scores import Scores, open_scores
from ranker.tables.check import ROWS_AT_ONCE, as_frame, type_problems
from ranker.tables.schema import read_table_schema
from scripts.cli import entry
from scripts.cli.settings import ReadoutOptions, ReadoutSettings
from scripts.judging.rehearsal import COMPARE
from scripts.pages.readout_page import write_page
from scripts.runs import stage, tracking
from scripts.runs.policy_check import objective_of

log = logging.getLogger("offermix.readout")

HELD, EXPLORING, CHOSEN = "holdout", "exploring", "chosen"
UNRECORDED = ""
MOST_COVARIATES = 40
MOST_VALUES = 20  # of a segment, or of an attribute of actions, that results are split by


@dataclass(frozen=True)
class Sources:
    """What the allocation was made from. overrides: of the policy, as the allocation had them."""

    scores: Scores
    policy: Policy
    day: date


@dataclass(frozen=True)
class Given:
    """Per user of the scores: id, group and segments, what was promised by metric, and the number of contacts. slate_UK: the
    contacts that the prices would give to anybody, held out or not, -1 for none; None where that cannot be told."""

    user_id: np.ndarray
    group_U: np.ndarray
    segment: Mapping[str, np.ndarray]
    promised: Mapping[str, np.ndarray]
    contacts_U: np.ndarray
    slate_UK: np.ndarray | None

    def take(self, known_U: np.ndarray) -> "Given":
        return Given(
            self.user_id[known_U],
            self.group_U[known_U],
            {name: values_U[known_U] for name, values_U in self.segment.items()},
            {name: values_U[known_U] for name, values_U in self.promised.items()},
            self.contacts_U[known_U],
            None if self.slate_UK is None else self.slate_UK[known_U],
        )


def run(settings: ReadoutSettings) -> dict:
    """Writes the readout into `out`, records it, and returns what is in readout.json."""
    paths = settings.paths
    inputs = [path for path in (paths.allocation, paths.tables, paths.scores, paths.policy) if path is not None]
    with stage.write(paths.out, "readout", inputs, {"readout": settings.readout}) as made:
        found = read_out(settings)
        (made / "readout.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        write_page(found, made / "readout.html")
    tracking.record_command("readout", settings, tracking.readout_metrics(found), [], paths.out)
    return found


def read_out(settings: ReadoutSettings) -> dict:
    sources = sources_of(settings)
    drawn = given = given_of(settings.paths.allocation, sources)
    if settings.readout.groups == "recorded":
        group_U = recorded_groups(settings.paths.tables, sources.day, given.user_id)
        given = replace(given, group_U=group_U).take(group_U != UNRECORDED)
    week = read_week(
        settings.paths.tables, sources.scores.catalogue, sources.day, given.user_id, settings.readout.before_days
    )
    metrics = metrics_of(settings.readout, sources.policy, week)
    given = given.take(week.known_U)
    ratio = sample_ratio(_sizes(given.group_U), _shares(sources.policy))
    outcome = dict(week.outcome)
    plain = objective_of(sources.policy)
    if plain.keys() <= outcome.keys():
        outcome[OBJECTIVE] = sum(weight * outcome[name] for name, weight in plain.items())
        given = replace(given, promised={**given.promised, OBJECTIVE: _promised_value(given.promised, plain)})
    with entry.progress("Reading out", total=len(outcome)) as advance:
        readings = {}
        for name in outcome:
            readings[name] = _Reading(name, outcome[name], _covariates(week, name, plain), given)
            advance(note=name)
    lifts = {name: reading.lift(given.group_U != EXPLORING) for name, reading in readings.items()}
    verdict = decide(metrics, lifts, ratio, settings.readout.level)
    ranked = [OBJECTIVE, *(metric.name for metric in metrics)]
    return {
        "day": sources.day.isoformat(),
        "known_before": week.known_before.isoformat(),
        "level": settings.readout.level,
        "verdict": {"ship": verdict.ship, "sentence": verdict.sentence, "conditions": _conditions(verdict.conditions)},
        "sample_ratio": {**asdict(ratio), "holds": ratio.holds},
        "users": {"allocated_for": len(drawn.user_id), "read": len(given.user_id)},
        "contacts_per_user": {name: float(given.contacts_U[given.group_U == name].mean()) for name in _present(given)},
        "exposed_in_holdout": exposed_in_holdout(settings.paths.tables, sources.day, given),
        "immature": {name: when.isoformat() for name, when in week.immature.items()},
        "metrics": [_metric(name, metrics, readings, lifts, settings.readout) for name in ranked if name in readings],
        "segments": list(_by_segment(readings, given, settings.readout.segments, ranked)),
        "offers": list(_by_offer(readings, given, sources.scores.catalogue.actions, ranked)),
        "as_priced": _agreement(given),
    }


def sources_of(settings: ReadoutSettings) -> Sources:
    """The scores and the policy that the allocation was made from: named, or found by its manifest, unchanged since."""
    paths = settings.paths
    manifest = stage.read_manifest(paths.allocation)
    if manifest is None or manifest.get("stage") != "allocate":
        raise InputError([f"{paths.allocation / stage.MANIFEST}: is no manifest of allocate"])
    problems, found = [], {}
    for (name, digest), key in zip(manifest["inputs"].items(), ("scores", "policy"), strict=False):
        path = getattr(paths, key) or paths.allocation.parent / name
        if not path.exists():
            problems.append(f"{path}: is not there, and the allocation was made from it; give {key}=...")
        elif stage.digest(path) != digest:
            problems.append(f"{path}: is not what the allocation was made from; give {key}=...")
        found[key] = path
    if problems:
        raise InputError(problems)
    scores = open_scores(found["scores"])
    segments = {name: frozenset(values) for name, values in scores.vocabulary.items()}
    overrides = manifest["config"].get("set") or {}
    policy = read_policy(found["policy"], overrides, scores.catalogue, segments, previous=True)
    day = scores.catalogue.as_of
    if day is None:
        raise InputError([f"{found['scores'] / 'catalogue.json'}: as_of: is missing; it says which week to read"])
    if settings.readout.groups == "salt" and (policy.holdout is None or policy.holdout.share == 0):
        why = "is missing, so there is nobody to compare with; readout.groups=recorded takes the arms of the exposures"
        raise InputError([f"{found['policy']}: experiment.holdout: {why}"])
    return Sources(scores, policy.active(day), day)


def given_of(allocation: Path, sources: Sources) -> Given:
    """Who was in which group, who was given what, and what was promised of it, in one stream over the scores."""
    scores, policy = sources.scores, sources.policy
    contacts = read_allocation(allocation)
    ids = {name: position for position, name in enumerate(scores.catalogue.ids)}
    if unknown := int((~contacts["action"].isin(list(ids))).sum()):
        told = f"{unknown:,} of {len(contacts):,} rows name an action that the scores do not have"
        raise InputError([f"{allocation}: column action: {told}"])
    parts: list[dict] = []
    for shard in scores.shards(check=False):
        user_id = shard.user_id.to_numpy(zero_copy_only=False)
        held_U = held_out(policy, shard.user_id)
        explores_U = exploring(policy, shard.user_id, held_U)
        row_N = pd.Index(user_id).get_indexer(contacts["user_id"])
        mine = row_N >= 0
        row_N, action_N = row_N[mine], contacts["action"][mine].map(ids).to_numpy(np.int64)
        parts.append(
            {
                "user_id": user_id,
                "group": np.where(held_U, HELD, np.where(explores_U, EXPLORING, CHOSEN)),
                "contacts": np.bincount(row_N, minlength=len(shard)),
                "segment": {
                    name: np.array(scores.vocabulary[name], object)[codes] for name, codes in shard.segments.items()
                },
                "promised": {
                    name: np.bincount(row_N, mean_UA[row_N, action_N], len(shard))
                    for name, mean_UA in shard.mean.items()
                },
            }
        )

    def joined(pick) -> np.ndarray:
        return np.concatenate([pick(part) for part in parts])

    given = Given(
        user_id=joined(lambda part: part["user_id"]),
        group_U=joined(lambda part: part["group"]),
        segment={name: joined(lambda part, name=name: part["segment"][name]) for name in parts[0]["segment"]},
        promised={name: joined(lambda part, name=name: part["promised"][name]) for name in parts[0]["promised"]},
        contacts_U=joined(lambda part: part["contacts"]),
        slate_UK=would_get(allocation, sources),
    )
    wrong = int(given.contacts_U[given.group_U == HELD].sum())
    if wrong:
        raise InputError(
            [f"{allocation}: has {wrong:,} contacts of users whom the policy holds out; it is of another policy"]
        )
    return given


def would_get(allocation: Path, sources: Sources) -> np.ndarray | None:
    """int16[U, K]: what the price book gives to each user, whatever their group; None where prices alone do not say.

    It depends on nothing that happened after the draw, so users with the same offer in it can be compared across groups.
    """
    policy = sources.policy
    if policy.tiers or any(rule.kind in COMPARE for rule in policy.constraints):
        return None
    problem = build_problem(sources.scores, policy)
    data, _ = give(problem, load_data(problem, sources.scores))
    data = replace(data, group_U=np.where(data.group_U == PINNED, PINNED, FREE).astype(np.int8))
    book = read_price_book(allocation)
    sides = (("max" if sign > 0 else "min") for sign in problem.rows.sign_R)
    rules = (problem.measured[position].rule.id for position in problem.rows.constraint_R)
    price_R = np.array([book.get(side, 0.0) for side in zip(rules, sides, strict=True)])
    users = Users(problem, data, compile_rules(problem.contact), np.ones(len(problem.classes)), problem.rows.limit_R)
    return sweep(users, price_R).slate_UK


def metrics_of(options: ReadoutOptions, policy: Policy, week: OutcomeWeek) -> tuple[JudgedMetric, ...]:
    """How each outcome counts: as the settings say, or else by its weight in the policy's objective."""
    names = [window.name for window in week.windows]
    asked = {*(options.success or ()), *(options.guardrails or {}), *options.lower_is_better}
    if unknown := sorted(asked - set(names)):
        raise InputError(
            [f"readout: the tables have no outcome {name}; they have {', '.join(names)}" for name in unknown]
        )
    weight = objective_of(policy)
    lower = {name for name in names if weight.get(name, 0.0) < 0} | set(options.lower_is_better)
    guarded = options.guardrails
    if guarded is None:
        guarded = {name: options.margin for name in names if name in lower}
    success = options.success
    if success is None:
        success = tuple(name for name in names if weight.get(name, 0.0) > 0 and name not in guarded)
    return tuple(JudgedMetric(name, name in lower, name in success, guarded.get(name)) for name in names)


def _promised_value(promised: Mapping[str, np.ndarray], plain: Mapping[str, float]) -> np.ndarray:
    return sum(weight * promised[name] for name, weight in plain.items())


def _sizes(group_U: np.ndarray) -> dict[str, int]:
    return {name: int((group_U == name).sum()) for name in (HELD, EXPLORING, CHOSEN)}


def _present(given: Given) -> list[str]:
    return [name for name, count in _sizes(given.group_U).items() if count]


def _shares(policy: Policy) -> dict[str, float]:
    """What part of the users the policy draws into each group; empty where it holds nobody out, and others drew."""
    if policy.holdout is None:
        return {}
    drawn = shares(policy)
    return {HELD: drawn.held, EXPLORING: drawn.explores, CHOSEN: drawn.free}


def _covariates(week: OutcomeWeek, name: str, plain: Mapping[str, float]) -> np.ndarray:
    """float64[U, X]: the outcome itself in the days before, the others then, features; the first MOST_COVARIATES of them."""
    before = dict(week.before)
    if name == OBJECTIVE:
        before = {OBJECTIVE: sum(weight * before[outcome] for outcome, weight in plain.items()), **before}
    own = [before[name], *(values_U for other, values_U in before.items() if other != name)]
    return np.column_stack([*own, week.covariate_UX])[:, :MOST_COVARIATES]


@dataclass(frozen=True)
class _Reading:
    """One outcome of all users that were read, and what may adjust it."""

    name: str
    outcome_U: np.ndarray
    covariate_UX: np.ndarray
    given: Given

    def lift(self, who_U: np.ndarray, against: str = HELD) -> Lift | None:
        """Of the chosen among some users, against those of another group among them."""
        rows = np.flatnonzero(who_U & np.isin(self.given.group_U, (against, CHOSEN)))
        return lift(self.outcome_U[rows], self.given.group_U[rows] == CHOSEN, self.covariate_UX[rows])

    def promised(self, who_U: np.ndarray) -> float:
        """What was promised per chosen user among some users."""
        rows = who_U & (self.given.group_U == CHOSEN)
        return float(self.given.promised[self.name][rows].mean()) if rows.any() else 0.0


def _metric(
    name: str,
    metrics: Sequence[JudgedMetric],
    readings: Mapping[str, _Reading],
    lifts: Mapping[str, Lift | None],
    options: ReadoutOptions,
) -> dict:
    found, everybody = lifts[name], np.ones(len(readings[name].outcome_U), bool)
    metric = next((each for each in metrics if each.name == name), JudgedMetric(name))
    tried = max(sum(each.success for each in metrics), 1)
    by_chance = readings[name].lift(everybody, EXPLORING)
    return {
        **asdict(metric),
        "promised": readings[name].promised(everybody),
        "lift": None if found is None else _lift(found),
        "detectable": None
        if found is None
        else found.detectable(options.level / tried if metric.success else options.level),
        "more_than_exploring": None if by_chance is None else by_chance.adjusted.to_json(),
    }


def _lift(found: Lift) -> dict:
    return {
        "holdout": found.control.to_json(),
        "chosen": found.treated.to_json(),
        "plain": found.plain.to_json(),
        "adjusted": found.adjusted.to_json(),
        "relative": None if found.relative is None else found.relative.to_json(),
        "users_holdout": found.users_control,
        "users_chosen": found.users_treated,
        "covariates": found.covariates,
    }


def _conditions(conditions: Sequence[Condition]) -> list[dict]:
    return [asdict(condition) for condition in conditions]


def _by_segment(
    readings: Mapping[str, _Reading], given: Given, wanted: tuple[str, ...] | None, ranked: Sequence[str]
) -> Iterator[dict]:
    if wanted is not None and (unknown := [name for name in wanted if name not in given.segment]):
        known = ", ".join(given.segment)
        raise InputError(
            [f"readout.segments: the scores have no segment {name}; they have {known}" for name in unknown]
        )
    for name, value_U in given.segment.items():
        values = sorted(set(value_U))
        if name not in wanted if wanted is not None else not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            yield from _part(readings, given, value_U == value, ranked, segment=name, value=str(value))


def _by_offer(
    readings: Mapping[str, _Reading], given: Given, actions: Sequence[Mapping[str, object]], ranked: Sequence[str]
) -> Iterator[dict]:
    """Users to whom the prices would give an offer, by each action and by each attribute that actions share."""
    if given.slate_UK is None:
        return
    names = list(dict.fromkeys(name for action in actions for name, text in action.items() if isinstance(text, str)))
    for name in names:
        values = sorted({str(action[name]) for action in actions if name in action})
        if name != "id" and not 1 < len(values) <= MOST_VALUES:
            continue
        for value in values:
            has_A = np.array([str(action.get(name)) == value for action in actions] + [False])
            yield from _part(readings, given, has_A[given.slate_UK].any(axis=1), ranked, attribute=name, value=value)


def _part(
    readings: Mapping[str, _Reading], given: Given, who_U: np.ndarray, ranked: Sequence[str], **named: str
) -> Iterator[dict]:
    """The lift among some users, outcome by outcome; nothing where they are too few."""
    for outcome in (name for name in ranked if name in readings):
        found = readings[outcome].lift(who_U)
        if found is not None:
            yield {
                **named,
                "outcome": outcome,
                "users_holdout": found.users_control,
                "users_chosen": found.users_treated,
                "promised": readings[outcome].promised(who_U),
                "realised": found.adjusted.to_json(),
            }


def _agreement(given: Given) -> float | None:
    """Share of chosen users whose number of contacts is the one that the prices give: ties are settled by hand."""
    if given.slate_UK is None:
        return None
    chosen_U = given.group_U == CHOSEN
    return float(((given.slate_UK >= 0).sum(axis=1) == given.contacts_U)[chosen_U].mean())


def recorded_groups(tables: Path, day: date, user_id: np.ndarray) -> np.ndarray:
    """Per user the group by the `arm` of their exposure on the day: holdout, exploration, or anything else for chosen."""
    shown = _shown_on(tables, day, ("arm",))
    if shown is None:
        raise InputError([f"{tables / 'exposures'}: has no rows of {day}, so who was held out is not recorded"])
    group = shown["arm"].map({"holdout": HELD, "exploration": EXPLORING}).fillna(CHOSEN)
    by_user = pd.Series(group.to_numpy(object), index=shown["user_id"])
    return pd.Series(user_id).map(by_user[~by_user.index.duplicated()]).fillna(UNRECORDED).to_numpy(object)


def exposed_in_holdout(tables: Path, day: date, given: Given) -> int | None:
    """Held-out users who were shown something on the day all the same; None where the tables do not say what was shown."""
    shown = _shown_on(tables, day, ())
    if shown is None:
        return None
    none = read_table_schema(tables / "schema.json").none
    contacted = shown[shown["action"].notna() & (shown["action"] != none)]
    return int(contacted["user_id"].isin(pd.Index(given.user_id[given.group_U == HELD])).sum())


def _shown_on(tables: Path, day: date, more: tuple[str, ...]) -> pd.DataFrame | None:
    """The exposures of one day, with some columns more; None where there are none."""
    files = parquet_files(tables / "exposures")
    columns = ["user_id", "decided_on", "action", *more]
    wanted = {"user_id": "id", "decided_on": "date", "action": "string", **dict.fromkeys(more, "string")}
    problems = []
    for file in files:
        found = [f"{file}: {problem}" for problem in type_problems(parquet_schema(file), wanted)]
        problems += found or value_problems(file, ["user_id"], ["decided_on"])
    if problems:
        raise InputError(problems)
    if not files:
        return None
    parts = [as_frame(pa.table(batch)) for file in files for batch in batches(file, ROWS_AT_ONCE, columns)]
    if not parts:
        return None
    shown = pd.concat(parts, ignore_index=True)
    on_day = shown[shown["decided_on"] == pd.Timestamp(day)]
    return None if on_day.empty else on_day


def show(found: Mapping) -> None:
    """Prints the lifts, then the verdict in words."""
    rows = [
        (
            each["name"],
            f"{each['lift']['holdout']['value']:.5g}",
            f"{each['lift']['adjusted']['value']:+.5g} ± {1.96 * each['lift']['adjusted']['stderr']:.2g}",
            f"{each['promised']:+.5g}",
            f"{each['detectable']:.2g}",
        )
        for each in found["metrics"]
        if each["lift"] is not None
    ]
    sizes = found["sample_ratio"]["observed"]
    title = f"Week of {found['day']}: {sizes[CHOSEN]:,} chosen users against {sizes[HELD]:,} held out (adjusted lift per user, 95 %)"
    entry.show_table(title, ("outcome", "holdout", "lift", "promised", "detectable"), rows)
    for name, when in found["immature"].items():
        print(f"{name}: not complete before {when}")
    print(found["verdict"]["sentence"])


def main(settings: ReadoutSettings) -> None:
    show(run(settings))
    print(f"page: {settings.paths.out / 'readout.html'}")


if __name__ == "__main__":
    entry.main("readout", ReadoutSettings, main)
