"""The settings of every command: what Hydra composed, typed, frozen and checked, with every error listed at once."""

import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from rapidfuzz import fuzz, process

from allocator.solve.settings import SolveSettings
from ranker.market.settings import MarketSettings
from ranker.model.settings import FitSettings, ModelSettings
from ranker.tables.settings import PrepareOptions
from scripts.cli.shipped import shipped_policy
from scripts.cli.store_address import WANTED, address_of

NOT_REPEATED = "not_repeated"
"""The type of an error whose message leaves out what was given, which might hold a secret."""


class FrozenSettings(BaseModel):
    """Settings never change after they were checked, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Paths(FrozenSettings):
    """Files and folders named on the command line; each command requires its own."""

    runs: Path = Path("runs")
    tables: Path | None = None
    logs: Path | None = None
    model: Path | None = None
    users: Path | None = None
    exposures: Path | None = None
    scores: Path | None = None
    catalogue: Path | None = None
    policy: Path | None = None
    base: Path | None = None
    also: Path | None = None
    previous: Path | None = None
    allocation: Path | None = None
    training: Path | None = None
    out: Path | None = None
    run: Path | None = None
    to: Path | None = None
    market: Path | None = None
    shown: Path | None = None
    after: Path | None = None
    readout: Path | None = None
    what_if: Path | None = None
    file: Path | None = None


class WeeklyOptions(FrozenSettings):
    """What the weekly run is about."""

    run: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder under runs/; the week by default"
    )
    tables: Path | None = Field(None, description="real input; a synthetic market without it")
    policy: Path = Field(
        default_factory=shipped_policy, description="a file, or the name of one that is shipped or the company's own"
    )
    publish: bool | None = Field(
        None, description="true: also a trial of another policy; false: nothing; the configured policy alone without it"
    )


class PublishOptions(FrozenSettings):
    """The gates of publishing, and who stands for it. null switches a gate off."""

    max_gap: float = Field(1e-4, ge=0, description="largest gap of the certificate")
    min_value: float | None = Field(0.6, ge=0, description="of the last published week's value; null asks for nothing")
    min_contacts: float | None = Field(0.6, ge=0, description="of the last published week's contacts")
    min_reach: float | None = Field(0.6, ge=0, description="of the last published week's users with a contact")
    max_swing: float | None = Field(
        0.8, ge=0, description="of what a constraint achieves, as a part of the larger of both weeks' amounts"
    )
    max_churn: float | None = Field(
        0.97, ge=0, le=1, description="of last week's users with a contact who get others or none"
    )
    guardrails: tuple[str, ...] | None = Field(
        None, description="metrics that a week may harm; those that the objective counts with negative weights alone"
    )
    max_guardrail: float | None = Field(
        2.0, ge=0, description="of last week's forecast of a guardrail metric, in all and per contact"
    )
    guardrail_limits: Mapping[str, float] | None = Field(None, description="metric -> most per contact")
    max_expired: int | None = Field(0, ge=0, description="rules that protect users and ran out since last week")
    max_empty: int | None = Field(0, ge=0, description="values of segments without users or contacts since last week")
    floor: int = Field(
        100, ge=0, description="users or contacts; smaller numbers are not compared by swing and emptiness"
    )
    max_constant_outcomes: int | None = Field(0, ge=0, description="outcomes that never vary in the logs")
    max_volume: float | None = Field(
        0.45, ge=0, description="change of a table's rows, as a part of the larger of both weeks'"
    )
    max_feature_drift: float | None = Field(0.5, ge=0, description="Wasserstein distance of a feature, in spreads")
    max_category_drift: float | None = Field(0.3, ge=0, description="total variation of a category of the scored users")
    max_missing_drift: float | None = Field(0.2, ge=0, description="change of the missing part of a feature")
    max_score_drift: float | None = Field(
        4.0, ge=0, description="Wasserstein distance of a metric's effects, in their spread and standard error"
    )
    min_model_value: float | None = Field(0.6, ge=0, description="of the off-policy value by last week's model")
    max_slope_loss: float | None = Field(1.0, ge=0, description="how much farther from 1 a calibration slope may be")
    min_reliability: float | None = Field(0.1, ge=0, description="of the reliability of last week's model, by outcome")
    approver: str | None = Field(
        None, min_length=1, max_length=100, description="who approves; not the policy's author"
    )
    approver_required: bool = Field(False, description="whether a week without an approver is refused")
    store: str | None = Field(None, description="s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, published on as well")
    override: str | None = Field(None, min_length=1, max_length=100, description="who publishes in spite of refusals")
    by: str | None = Field(None, min_length=1, max_length=100, description="who publishes or rolls back, kept with it")
    reason: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        validate_default=True,
        description="why; needed with override, kept with by",
    )

    @field_validator("store")
    @classmethod
    def _address_alone(cls, store: str | None) -> str | None:
        address = None if store is None else address_of(store)
        if store is not None and address is None:
            raise PydanticCustomError(NOT_REPEATED, WANTED)
        return None if address is None else str(address)

    @field_validator("reason")
    @classmethod
    def _with_a_person(cls, reason: str | None, known: ValidationInfo) -> str | None:
        override, by = known.data.get("override"), known.data.get("by")
        if (reason is None and override is not None) or (reason is not None and override is None and by is None):
            raise ValueError(
                "Publish.override names a person and publish.reason says why: give both or neither, or publish.by with a reason"
            )
        return reason


class PublicationsOptions(FrozenSettings):
    """Which chain of publications is verified."""

    head: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="digest of an entry that somebody noted: it must be there still"
    )


class MarketOptions(FrozenSettings):
    """How a market answers an allocation."""

    later: int = Field(1, ge=1, le=51, description="weeks that pass, its own policy deciding all but the first")


class BenchOptions(FrozenSettings):
    """What is measured, and for how long."""

    what: Literal["allocator", "ranker", "questions"] = "allocator"
    sizes: tuple[PositiveInt, ...] = Field(
        (10_000, 100_000), description="users of each instance, every size with every peer"
    )
    shapes: tuple[str, ...] = Field(("market", "knapsack", "grid"), description="scripts/bench/instances.py has them")
    peers: tuple[str, ...] | None = Field(
        None, description="names as in scripts/bench/peers.py; all of them by default"
    )
    limit: float = Field(300.0, gt=0, description="seconds that a peer may take to solve, or to learn")
    gaps: int = Field(0, ge=0, description="random instances of each shape for the distribution of gaps")
    users: PositiveInt | None = Field(
        None,
        description="of each of those, by default 20,000; of each market of the ranker's, by default 200,000, 2,000 to explore",
    )
    parts: tuple[Literal["hillstrom", "promotion", "bandit", "market", "exploration", "speed"], ...] = Field(
        ("hillstrom", "promotion", "bandit", "market", "exploration", "speed"),
        description="of the ranker's benchmark",
    )
    seeds: PositiveInt = Field(5, description="splits of each trial, and markets")
    trials: Path = Field(Path("../shared/data"), description="folder of the public trials' files")
    rows: PositiveInt = Field(
        2_000_000, description="logged decisions to train on for speed; half as many users to score"
    )
    edits: PositiveInt = Field(20, description="random edits of each instance's policy, for questions")
    resume: bool = Field(False, description="leaves out what this program has measured already on this machine")
    update_readme: bool = False


class EvaluateOptions(FrozenSettings):
    """How much of a model's evaluation is worked out, and how fine."""

    rows: int = Field(100_000, ge=1_000, description="held-out rows to judge by, whole users, drawn by a hash")
    points: int = Field(20, ge=2, le=200, description="budgets of the multi-armed Qini")
    cost: str | None = Field(None, description="numeric attribute of actions that a budget pays; contacts without it")
    groups: int = Field(10, ge=2, le=100, description="of predictions, for calibration")
    segments: tuple[str, ...] | None = Field(None, description="text features; those with few values without it")
    gap: float = Field(1e-3, gt=0, description="of the rehearsed allocations; policies differ by more")


class AskOptions(FrozenSettings):
    """How questions of a policy are answered."""

    sample: PositiveInt = Field(
        20_000, description="users that an answer rests on; all of them where there are no more"
    )
    full: bool = Field(False, description="from allocations of all users instead of a sample")
    robust: bool = Field(False, description="also by other views of the scores, and what each rule costs in all")
    want: str | None = Field(None, description="the goal that is sought, NAME=AMOUNT")
    by: str | None = Field(None, description="the field of the policy that may change for it")
    least: str | None = Field(None, description="what is made as small as can be at nearly the same value")
    give_up: float = Field(0.001, ge=0, lt=1, description="of the value, for that")
    x: str | None = Field(None, description="of a frontier: what is given up or gained, a metric or a constraint")
    y: str | None = Field(None, description="of a frontier: what it costs or brings")
    points: int = Field(20, ge=2, le=200, description="of a frontier")
    user: str | int | None = Field(None, description="the listener who is explained")
    product: str | None = Field(None, description="whose offers are explained")


class ConsoleOptions(FrozenSettings):
    """The page on which policies are edited, tried, proposed and published."""

    port: int = Field(8080, ge=0, le=65_535, description="of 127.0.0.1, where alone it listens")
    run: str | None = Field(None, description="the run that the page opens with")
    policies: Path | None = Field(
        None, description="where proposed policies are saved as new files; the company's own policy/, or conf/policy"
    )
    approver_required: bool = Field(True, description="whether another person than the author must approve")


class ReadoutOptions(FrozenSettings):
    """What a week that ran must show before its policy is shipped."""

    success: tuple[str, ...] | None = Field(
        None, description="outcomes of which one must be better; those with a positive weight in the policy's objective"
    )
    guardrails: Mapping[str, float] | None = Field(
        None, description="outcome -> share of the holdout's mean by which it may be worse; those that are better low"
    )
    margin: float = Field(0.1, ge=0, description="of guardrails that are not named")
    lower_is_better: tuple[str, ...] = Field((), description="besides those with a negative weight in the objective")
    groups: Literal["salt", "recorded"] = Field(
        "salt", description="recorded: by the arm of the day's exposures, instead of the policy's salted hash"
    )
    level: float = Field(0.05, gt=0, lt=0.5, description="chance of a false alarm over all success metrics")
    before_days: int = Field(28, ge=1, le=366, description="days before the week whose outcomes adjust the lift")
    segments: tuple[str, ...] | None = Field(None, description="of the scores; those with few values without it")


def _listed(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


FaultName = Literal[
    "stops", "kills", "refused", "full", "damaged", "inputs", "mlflow", "races", "publications", "clock"
]


class FaultsOptions(FrozenSettings):
    """Faults that a tiny week goes through."""

    only: Annotated[tuple[FaultName, ...] | None, BeforeValidator(_listed)] = Field(
        None, description="sections; None: all"
    )
    users: int = Field(500, ge=400, description="of its market")
    every: PositiveInt | None = Field(
        None, description="of so many places, one is tried; None: all stops, and some of the other kinds"
    )
    first: NonNegativeInt = Field(0, description="the first of them")
    processes: PositiveInt = Field(2, description="that check at once")


class ChampionOptions(FrozenSettings):
    """When a challenger takes the champion's place."""

    value_errors: float = Field(
        1.0, ge=0, description="standard errors of the difference by which its held-out value may be lower"
    )
    slope_errors: float = Field(
        2.0, ge=0, description="standard errors by which a slope of calibration may be further from 1"
    )


class RegistryOptions(FrozenSettings):
    """Which version of the registered model a person promotes or demotes, and why."""

    version: str | None = Field(None, coerce_numbers_to_str=True, description="its number or alias")
    person: str | None = Field(None, max_length=200, description="who does it")
    reason: str | None = Field(None, max_length=1_000, description="why")


class PlanOptions(FrozenSettings):
    """An experiment that is planned."""

    users: PositiveInt = Field(1_000_000, description="listeners a week, both arms together")
    share: float | None = Field(
        None, gt=0, le=0.5, description="of them, in the smaller arm; 2 % against a holdout, half between policies"
    )
    weeks: int = Field(1, ge=1, le=520, description="that it lasts")
    lasting: bool = Field(False, description="whether the arms stay as they are, instead of being drawn every week")
    groups: str | None = Field(None, description="segment whose values are drawn as a whole, like market")
    outcome: str | None = Field(None, description="one outcome; all of them without it")
    effect: str | None = Field(
        None,
        pattern=r"^[0-9]*\.?[0-9]+(e-?[0-9]+)?%?$",
        description="asked about, per listener and week, or in % of the mean",
    )
    level: float = Field(0.05, gt=0, lt=0.5, description="chance of a false alarm")
    power: float = Field(0.8, gt=0.5, lt=1, description="of experiments that find the effect")


class TrackingOptions(FrozenSettings):
    """MLflow: on, and under which experiment; the server is MLFLOW_TRACKING_URI's."""

    enabled: bool = True
    experiment: str = Field("offermix", min_length=1, max_length=250)
    registered_model: str = Field("offermix-ranker", min_length=1, max_length=250)
    champion: ChampionOptions = ChampionOptions()


def _keys_as_spelled(rules: object) -> object:
    if not isinstance(rules, Mapping):
        return rules
    return {as_spelled(key) if isinstance(key, str) else key: _keys_as_spelled(value) for key, value in rules.items()}


class Settings(FrozenSettings):
    """The whole configuration, as conf/config.yaml composes it."""

    seed: int = Field(0, ge=0, lt=2**32)
    data: MarketSettings
    market: MarketOptions
    prepare: PrepareOptions
    model: ModelSettings
    fit: FitSettings
    solve: SolveSettings
    evaluate: EvaluateOptions
    ask: AskOptions
    console: ConsoleOptions
    readout: ReadoutOptions
    publish: PublishOptions
    publications: PublicationsOptions = PublicationsOptions()
    tracking: TrackingOptions
    registry: RegistryOptions = RegistryOptions()
    weekly: WeeklyOptions
    plan: PlanOptions
    faults: FaultsOptions
    bench: BenchOptions
    paths: Paths
    set: Annotated[Mapping[str, Mapping[str, Any] | None], BeforeValidator(_keys_as_spelled)] = Field(
        default_factory=dict
    )


class MakeMarketPaths(Paths):
    out: Path


class PreparePaths(Paths):
    tables: Path
    logs: Path


class HillstromPaths(Paths):
    file: Path
    out: Path


class TrainPaths(Paths):
    logs: Path
    model: Path


class ScorePaths(Paths):
    model: Path
    users: Path
    scores: Path


class JudgePaths(Paths):
    allocation: Path
    logs: Path


class EvaluatePaths(Paths):
    model: Path
    logs: Path
    out: Path


class AllocatePaths(Paths):
    scores: Path
    policy: Path
    out: Path


class QuestionPaths(Paths):
    scores: Path
    policy: Path


class ExplainPaths(Paths):
    allocation: Path


class LeftOutPaths(Paths):
    allocation: Path
    scores: Path
    out: Path


class ExposuresPaths(Paths):
    allocation: Path
    out: Path


class ReadoutPaths(Paths):
    allocation: Path
    tables: Path
    out: Path


class PlanExperimentPaths(Paths):
    logs: Path


class RegretPaths(Paths):
    market: Path
    scores: Path
    policy: Path
    out: Path


class RehearsePaths(Paths):
    model: Path
    logs: Path
    policy: Path
    out: Path


class RunPaths(Paths):
    run: Path


class RollbackPaths(Paths):
    to: Path


class MakeMarketSettings(Settings):
    paths: MakeMarketPaths


class PrepareSettings(Settings):
    paths: PreparePaths


class HillstromSettings(Settings):
    paths: HillstromPaths


class TrainSettings(Settings):
    paths: TrainPaths


class ScoreSettings(Settings):
    paths: ScorePaths


class JudgeSettings(Settings):
    paths: JudgePaths


class EvaluateSettings(Settings):
    paths: EvaluatePaths


class AllocateSettings(Settings):
    paths: AllocatePaths


class WhatIfSettings(Settings):
    paths: QuestionPaths


class SeekSettings(Settings):
    paths: QuestionPaths


class ExplainSettings(Settings):
    paths: ExplainPaths


class FrontierSettings(Settings):
    paths: QuestionPaths


class ReadoutSettings(Settings):
    paths: ReadoutPaths


class PlanExperimentSettings(Settings):
    paths: PlanExperimentPaths


class RegretSettings(Settings):
    paths: RegretPaths


class RehearseSettings(Settings):
    paths: RehearsePaths


class ExposuresSettings(Settings):
    paths: ExposuresPaths


class LeftOutSettings(Settings):
    paths: LeftOutPaths


class ReportSettings(Settings):
    paths: RunPaths


class DriftSettings(Settings):
    paths: RunPaths


class PublishSettings(Settings):
    paths: RunPaths


class RollbackSettings(Settings):
    paths: RollbackPaths


class PublicationsSettings(Settings):
    """Publications are those of `paths.runs`, and of a store where one is configured."""


class RegistrySettings(Settings):
    """Promoting and demoting read and write MLflow alone."""


class ConsoleSettings(Settings):
    """The console opens any run of `paths.runs`."""


class FaultsSettings(Settings):
    """A week that is stopped makes its own folders."""


class BenchSettings(Settings):
    """A benchmark makes its own instances."""


class WeeklySettings(Settings):
    """The weekly run names its own paths."""


def in_ascii(key: str) -> str:
    """A key in letters that Hydra reads: `böcker` as `b_u00f6_cker`, and back by `as_spelled`."""
    return re.sub(r"[^\x00-\x7f]", lambda letter: f"_u{ord(letter[0]):04x}_", unicodedata.normalize("NFC", key))


def as_spelled(text: str) -> str:
    return re.sub(r"_u([0-9a-f]{4,5})_", lambda found: chr(int(found[1], 16)), text)


def problems_of(
    error: ValidationError, settings_type: type[Settings], counts: Callable[[ErrorDetails], bool] = lambda error: True
) -> list[str]:
    """Every error of a validation that counts, as a sentence that opens with the key."""
    return [_sentence(details, settings_type) for details in error.errors(include_url=False) if counts(details)]


def _sentence(details: ErrorDetails, settings_type: type[Settings]) -> str:
    location = [str(part) for part in details["loc"]]
    key, given = ".".join(location), details["input"]
    if location[0] in ("paths", "weekly") and len(location) == 2:
        key = location[1]
    if details["type"] == "missing" or (location[0] == "paths" and given is None):
        return f"{key}: is missing; give {key}=..."
    if details["type"] == "extra_forbidden":
        parent = ".".join(location[:-1])
        near = process.extractOne(location[-1], _children(settings_type, parent), scorer=fuzz.ratio, score_cutoff=60)
        return f"{key}: there is no such setting" + (f"; did you mean '{near[0]}'?" if near else "")
    if details["type"] == NOT_REPEATED:
        return f"{key}: {details['msg']}"
    message = details["msg"].removeprefix("Value error, ")
    return f"{key}: is {_shortened(given)}: {message[0].lower()}{message[1:]}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _children(settings_type: type[BaseModel], parent: str) -> Sequence[str]:
    prefix = f"{parent}." if parent else ""
    below = [key.removeprefix(prefix) for key, _ in _walk(settings_type) if key.startswith(prefix)]
    return sorted({name.split(".")[0] for name in below})


@cache
def known_keys() -> Mapping[str, bool]:
    """Every setting by its dotted path, and whether any further key may follow below it."""
    return dict(_walk(Settings))


def _walk(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool]]:
    for name, info in model.model_fields.items():
        inner = list(_models(info.annotation))
        is_open = not inner and _holds_keys(info.annotation)
        yield f"{prefix}{name}", is_open or any(kind.model_config.get("extra") == "allow" for kind in inner)
        for kind in inner:
            yield from _walk(kind, f"{prefix}{name}.")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _models(part)


def _holds_keys(annotation: object) -> bool:
    """Whether the value is a mapping or a list, whose keys are data."""
    parts = [annotation, *typing.get_args(annotation)]
    origins = [typing.get_origin(part) or part for part in parts]
    return any(isinstance(kind, type) and issubclass(kind, Mapping | list | tuple) for kind in origins)
