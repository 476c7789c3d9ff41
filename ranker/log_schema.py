"""The columns of logs, `schema.json`: features, outcomes, what is known of them early, and the action that is none."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ranker.contact_history import MOST_DAYS, HistoryColumns, problems_of
from ranker.files import InputError, json_text, read_json_object

SCHEMA_FILE = "schema.json"
KINDS = ("binary", "count", "amount", "real")
DECISION = "decision_id"  # optional: contacts of a user and day with the same one were decided together, and share their outcomes
RESERVED = ("user_id", "as_of", "action", "propensity", "eligible", DECISION)


@dataclass(frozen=True)
class Outcome:
    """What is measured after a decision. kind: binary, count, amount (>= 0, mostly zero) or real."""

    name: str
    kind: str
    unit: str


@dataclass(frozen=True)
class Early:
    """A column of what is recorded of an outcome `days` days after the decision; missing where the decision is younger."""

    name: str
    outcome: str
    days: int


@dataclass(frozen=True)
class LogSchema:
    """The columns of the logs: features, outcomes, what is known of them early, and the id of showing nothing.

    history: the features that tell of earlier contacts.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    none: str
    early: tuple[Early, ...] = ()
    history: HistoryColumns | None = None

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.numeric, *self.categorical)

    @property
    def measured(self) -> dict[str, str]:
        """Every column that tells what came of a decision, and its kind."""
        kinds = {outcome.name: outcome.kind for outcome in self.outcomes}
        return kinds | {early.name: kinds[early.outcome] for early in self.early}

    def to_json(self) -> dict:
        content = {
            "features": {"numeric": list(self.numeric), "categorical": list(self.categorical)},
            "outcomes": [{"name": o.name, "kind": o.kind, "unit": o.unit} for o in self.outcomes],
            "none": self.none,
        }
        content |= {"early": [asdict(early) for early in self.early]} if self.early else {}
        return content | ({"history": self.history.to_json()} if self.history else {})


def read_schema(path: Path) -> LogSchema:
    """Reads and validates a `schema.json`; InputError lists everything wrong in it."""
    content = read_json_object(path)
    problems = list(_schema_problems(content))
    if problems:
        raise InputError([f"{path}: {problem}" for problem in problems])
    return LogSchema(
        numeric=tuple(content["features"].get("numeric", [])),
        categorical=tuple(content["features"].get("categorical", [])),
        outcomes=tuple(Outcome(o["name"], o["kind"], o.get("unit", o["name"])) for o in content["outcomes"]),
        none=content.get("none", "none"),
        early=tuple(Early(e["name"], e["outcome"], e["days"]) for e in content.get("early", ())),
        history=HistoryColumns.from_json(content["history"]) if "history" in content else None,
    )


def write_schema(path: Path, schema: LogSchema) -> None:
    path.write_text(json_text(schema.to_json(), finite=False))


def _schema_problems(content: Mapping) -> Iterator[str]:
    features, outcomes = content.get("features"), content.get("outcomes")
    names: list[str] = []
    if not isinstance(features, dict):
        yield 'features: must be an object like {"numeric": ["age"], "categorical": ["market"]}'
    else:
        for kind in sorted(features.keys() - {"numeric", "categorical"}):
            yield f"features.{kind}: is not known; the kinds are numeric and categorical"
        for kind in ("numeric", "categorical"):
            values = features.get(kind, [])
            if not isinstance(values, list) or not all(isinstance(name, str) and name for name in values):
                yield f"features.{kind}: must be a list of column names"
            else:
                names += values
    if not isinstance(outcomes, list) or not outcomes:
        yield 'outcomes: must be a list of objects like {"name": "visit", "kind": "binary"}'
    else:
        for position, outcome in enumerate(outcomes):
            if not isinstance(outcome, dict) or not isinstance(outcome.get("name"), str) or not outcome["name"]:
                yield f"outcomes[{position}]: must be an object with a name and a kind"
                continue
            names.append(outcome["name"])
            if outcome.get("kind") not in KINDS:
                yield f"outcomes[{position}].kind: '{outcome.get('kind')}' is not one of {', '.join(KINDS)}"
            if not isinstance(outcome.get("unit", ""), str):
                yield f"outcomes[{position}].unit: must be a string"
    earlies = content.get("early", [])
    if not isinstance(earlies, list):
        yield "early: must be a list"
        earlies = []
    for position, early in enumerate(earlies):
        if not isinstance(early, dict) or early.get("outcome") not in names or not isinstance(early.get("name"), str):
            yield f"early[{position}]: must be an object with a name, an outcome of those named, and days"
        elif not isinstance(early.get("days"), int) or not 0 <= early["days"] <= MOST_DAYS:
            yield f"early[{position}].days: must be a whole number of days after the decision"
        else:
            names.append(early["name"])
    for name, count in Counter(names).items():
        if count > 1:
            yield f"'{name}' stands {count} times among features and outcomes"
        if name in RESERVED:
            yield f"'{name}' is the name of another column of the logs and can be no feature or outcome"
    if "history" in content:
        numeric = features.get("numeric", []) if isinstance(features, dict) else []
        yield from problems_of(content["history"], numeric if isinstance(numeric, list) else [])
    if not isinstance(content.get("none", "none"), str) or not content.get("none", "none"):
        yield "none: must be the action id that stands for showing nothing"
