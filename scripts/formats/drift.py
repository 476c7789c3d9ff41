"""drift.json: how far the data of a week is from that of the last published one, column by column."""

from collections.abc import Mapping

from scripts.formats.document import Many, Number, StrictDocument

DRIFT = "drift.json"


class DriftOfColumn(StrictDocument):
    """shift: Wasserstein distance in spreads of the other week; psi: population stability index; moved: total variation of a category.

    missing: how much larger the missing part is. unseen: values that the other week did not name. known: where the column stands,
    `both`, `new` or `gone`.
    """

    column: str
    shift: Number | None = None
    psi: Number | None = None
    moved: Number | None = None
    missing: Number = 0.0
    unseen: Many[str] = ()
    known: str = "both"

    @property
    def size(self) -> float:
        """By which columns are put in order: spreads, or tenths of the rows that moved or went missing."""
        return max(self.shift or 0.0, 10 * (self.moved or 0.0), 10 * abs(self.missing))


class DriftOfTable(StrictDocument):
    """Of the tables, the logs, the scored users or the scores; `_before`: of the other week."""

    table: str
    rows: int
    rows_before: int
    users: int | None = None
    users_before: int | None = None
    columns: Many[DriftOfColumn]


class DriftRecord(StrictDocument):
    """week: the run that is compared with, or None. left_out: what stages of this week did not use, by its words, counted."""

    run: str
    week: str | None
    tables: Many[DriftOfTable]
    left_out: Mapping[str, int]
