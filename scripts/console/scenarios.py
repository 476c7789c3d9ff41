"""Named scenarios of one run side by side: policies that were tried, what they came to, whose they are and why."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from allocator.workbench.answers import MeanAndError, WhatIf
from ranker import disk
from ranker.files import InputError
from scripts.console.drafts import held
from scripts.formats.console import SCENARIOS, ScenarioFigure, ScenarioRecord, ScenariosRecord

MOST = 12
MOST_NAME, MOST_NOTE = 60, 400


@dataclass(frozen=True)
class Scenarios:
    """Those of one run, in a folder."""

    folder: Path

    def all(self) -> tuple[ScenarioRecord, ...]:
        path = self.folder / SCENARIOS
        return tuple(ScenariosRecord.from_file(path).scenarios) if path.exists() else ()

    def get(self, name: str) -> ScenarioRecord:
        found = next((each for each in self.all() if each.name == name), None)
        if found is None:
            raise InputError([f"{name[:MOST_NAME]}: there is no such scenario any more"])
        return found

    def keep(self, name: str, owner: str, note: str, text: str, answer: WhatIf) -> ScenarioRecord:
        """Keeps a policy under a new name; InputError where the name is taken, or there are twelve already."""
        record = scenario(name.strip(), owner, note.strip(), text, answer)
        faults = list(_faults(record))
        with self._held():
            before = self.all()
            if any(each.name == record.name for each in before):
                faults.append(f"name: there is a scenario '{record.name}' already; choose another name")
            if len(before) >= MOST:
                faults.append(f"scenarios: there are {MOST} already; take one away first")
            if faults:
                raise InputError(faults)
            self._write((*before, record))
        return record

    def annotate(self, name: str, note: str) -> None:
        """Another note."""
        with self._held():
            self._write(
                [
                    each.model_copy(update={"note": note[:MOST_NOTE]}) if each.name == name else each
                    for each in self.all()
                ]
            )

    def take_away(self, name: str) -> None:
        with self._held():
            self._write([each for each in self.all() if each.name != name])

    def _held(self) -> AbstractContextManager[None]:
        disk.make_folder(self.folder, parents=True, there=True)
        return held(self.folder / SCENARIOS)

    def _write(self, scenarios: Sequence[ScenarioRecord]) -> None:
        disk.replace_whole(self.folder / SCENARIOS, ScenariosRecord(scenarios=tuple(scenarios)).text())


def _faults(record: ScenarioRecord) -> list[str]:
    faults = []
    if not record.name:
        faults.append("name: is missing; give the scenario a name")
    if len(record.name) > MOST_NAME or len(record.note) > MOST_NOTE:
        faults.append(f"name, note: at most {MOST_NAME} and {MOST_NOTE} characters")
    return faults


def scenario(name: str, owner: str, note: str, text: str, answer: WhatIf) -> ScenarioRecord:
    """A policy with what it came to."""
    new, change = answer.new, answer.difference
    figures = [_figure("value", answer.unit, new.value, change.value)]
    figures += [_figure("contacts", "contacts", new.contacts, change.contacts)]
    figures += [_figure("listeners moved", "listeners", change.users_moved.mean, change.users_moved)]
    figures += [_figure(metric, metric, new.metrics[metric], each) for metric, each in change.metrics.items()]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    binding = tuple(each.label or rule for rule, each in new.constraints.items() if each.binding)
    return ScenarioRecord(
        name=name, owner=owner, note=note, at=at, policy_text=text, headline=answer.headline, figures=tuple(figures), binding=binding
    )  # fmt: skip


def baseline(answer: WhatIf, run: str) -> ScenarioRecord:
    """The run's own policy, which the others are compared with."""
    nothing = MeanAndError(mean=0.0, se=0.0)
    same = answer.difference.model_copy(
        update={
            "value": nothing,
            "contacts": nothing,
            "users_moved": nothing,
            "metrics": dict.fromkeys(answer.difference.metrics, nothing),
        }
    )
    words = answer.model_copy(update={"new": answer.base, "difference": same, "headline": "As in the run."})
    return scenario(run, "", "the policy of the run", "", words)


def _figure(name: str, unit: str, amount: float, change: MeanAndError) -> ScenarioFigure:
    return ScenarioFigure(name=name, unit=unit, amount=amount, difference=change.mean, difference_se=change.se)


def in_order(scenarios: Sequence[ScenarioRecord], by: str, down: bool) -> list[ScenarioRecord]:
    """Sorted by name, owner, or the name of a figure."""

    def key(record: ScenarioRecord) -> tuple[int, float, str]:
        if by in ("name", "owner"):
            return 0, 0.0, str(getattr(record, by)).casefold()
        amount = next((figure.amount for figure in record.figures if figure.name == by), None)
        return (1, 0.0, "") if amount is None else (0, amount, "")

    return sorted(scenarios, key=key, reverse=down)
