"""Gates that set the week's data beside last week's: outcomes that tell nothing, rows, features and scores outside their ranges."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot

from ranker.profiles.drift import ColumnDrift, TableDrift, drift
from ranker.profiles.records import NumberProfile, TableProfile
from scripts.cli.settings import PublishOptions
from scripts.formats.gates import GateFinding
from scripts.gates.gate import Gate, WeeksCompared

COUNTED = ("users", "exposures", "outcomes", "scored users")
SCORED_USERS, SCORES, LOGS = "scored users", "scores", "logs"
SOME_EVENTS = 20
EFFECTS, ERRORS_OF = "mean_", "stderr_"


class TellingOutcomes(Gate):
    """Outcomes are not all zero, and none stopped varying of which last week's logs let expect some events.

    A rare outcome that did not happen among few decisions is no fault.
    """

    needs_last = False

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        logs = weeks.now.profiles.get(LOGS)
        if logs is None or not weeks.now.outcomes:
            yield self.untold("the logs have no profile")
            return
        known = [column for name in weeks.now.outcomes if (column := logs.number(name)) is not None]
        before = None if weeks.last is None else weeks.last.profiles.get(LOGS)
        constant = [column for column in known if not column.varies and _expected(column, before) >= SOME_EVENTS]
        if known and all(column.zeros + column.missing == column.rows for column in known):
            yield self.refused(f"all {len(known)} outcomes are zero in all {logs.rows:,} logged decisions", weeks)
            return
        limit = options.max_constant_outcomes or 0
        for column in constant if len(constant) > limit else ():
            value = "missing" if column.low is None else f"{column.low:g}"
            sentence = (
                f"outcome {column.name}: is {value} in all {column.rows:,} logged decisions, which it was not in "
                f"{weeks.last_name}; "
                f"the guardrail publish.max_constant_outcomes={limit} lets {limit} outcomes never vary"
            )
            yield self.refused(sentence, weeks, about=column.name, found=column.low, limit=limit)


def _expected(column: NumberProfile, before: TableProfile | None) -> float:
    """Rows that would differ from the most frequent value, 0 or another, if they did as in last week's logs."""
    last = None if before is None else before.number(column.name)
    if last is None or not last.varies or last.rows == last.missing:
        return 0.0
    others = (last.rows - last.missing - last.zeros) / (last.rows - last.missing)
    return min(others, 1 - others) * column.rows if last.zeros else float(column.rows)


class OfProfiles(Gate):
    """Reads the profiles of both weeks."""

    def tables(self, weeks: WeeksCompared, *names: str) -> Iterator[tuple[TableProfile, TableProfile]]:
        last = {} if weeks.last is None else weeks.last.profiles
        yield from (
            (weeks.now.profiles[name], last[name]) for name in names if name in weeks.now.profiles and name in last
        )


class VolumeGate(OfProfiles):
    """Rows of each table, as a part of the larger of both weeks' rows."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        limit, found = options.max_volume or 0.0, list(self.tables(weeks, *COUNTED))
        if not found:
            yield self.untold("a week has no profile of its tables", weeks)
        for now, last in found:
            change = abs(now.rows - last.rows) / max(now.rows, last.rows, 1)
            sentence = (
                f"table {now.name}: {now.rows:,} rows after {last.rows:,} in {weeks.last_name}, a change of "
                f"{100 * change:.0f} %; the guardrail publish.max_volume={limit:g} lets through {100 * limit:g} %"
            )
            told = {"about": now.name, "found": now.rows, "compared": last.rows, "limit": limit}
            yield self.decided(change > limit, sentence, weeks, **told)


@dataclass(frozen=True)
class FeatureDrift(OfProfiles):
    """One size of what happened to the features of the listeners who are scored. measure: of `ColumnDrift`; words: what it says.

    Features that tell of earlier contacts are moved by what was decided before, so they refuse nothing: the drift page shows them.
    """

    measure: str
    words: str

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        limit, found = getattr(options, str(self.setting)), list(self.tables(weeks, SCORED_USERS))
        if not found:
            yield self.untold("a week has no profile of the listeners that it scored", weeks)
        for now, last in found:
            for column in drift(now, last).columns:
                size = getattr(column, self.measure)
                if column.column in weeks.now.contact_features:
                    yield self.untold("it tells of earlier contacts, which earlier weeks decided", about=column.column)
                elif size is not None and not column.gone and not column.new:
                    sentence = (
                        f"feature {column.column}: {self.words.format(abs(size))} since {weeks.last_name}; "
                        f"the guardrail publish.{self.setting}={limit:g} lets through {limit:g}"
                    )
                    told = {"about": column.column, "found": abs(size), "limit": limit}
                    yield self.decided(abs(size) > limit, sentence, weeks, **told)


class ScoreDrift(OfProfiles):
    """Effects by metric, in units of what was told last week: their spread between listeners and offers, and their standard error."""

    def findings(self, weeks: WeeksCompared, options: PublishOptions) -> Iterator[GateFinding]:
        limit, found = options.max_score_drift or 0.0, list(self.tables(weeks, SCORES))
        if not found:
            yield self.untold("a week has no profile of its scores", weeks)
        for now, last in found:
            compared = drift(now, last)
            for column in compared.columns:
                if column.column.startswith(EFFECTS) and column.shift is not None:
                    yield self._of(column, compared, last, weeks, limit)

    def _of(
        self, column: ColumnDrift, compared: TableDrift, last: TableProfile, weeks: WeeksCompared, limit: float
    ) -> GateFinding:
        metric = column.column.removeprefix(EFFECTS)
        errors = last.number(f"{ERRORS_OF}{metric}")
        error = 0.0 if errors is None or errors.mean is None else errors.mean
        spread, shift = column.spread or 0.0, column.shift or 0.0
        unit = hypot(spread, error)
        size = shift if not unit or not spread else shift * spread / unit
        sentence = (
            f"scores of {metric}: moved by {size:.2f} of their spread and error in {weeks.last_name}; "
            f"the guardrail publish.max_score_drift={limit:g} lets through {limit:g}"
        )
        return self.decided(size > limit, sentence, weeks, about=metric, found=size, limit=limit)
