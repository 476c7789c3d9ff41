"""The drift of a whole week: every table that both weeks have a profile of."""

from ranker.profiles.drift import ColumnDrift, drift
from scripts.formats.drift import DriftOfColumn, DriftOfTable, DriftRecord
from scripts.gates.week_seen import WeekSeen


def drifted(now: WeekSeen, last: WeekSeen | None) -> DriftRecord:
    """This week beside the other; without one, what this week left out alone."""
    before = {} if last is None else last.profiles
    compared = [drift(table, before[name]) for name, table in now.profiles.items() if name in before]
    tables = [
        DriftOfTable(
            table=each.table,
            rows=each.rows[0],
            rows_before=each.rows[1],
            users=None if each.users is None else each.users[0],
            users_before=None if each.users is None else each.users[1],
            columns=tuple(_record(column) for column in each.columns),
        )
        for each in compared
    ]
    week = None if last is None else last.name
    return DriftRecord(run=now.name, week=week, tables=tuple(tables), left_out=now.left_out)


def _record(column: ColumnDrift) -> DriftOfColumn:
    return DriftOfColumn(
        column=column.column,
        shift=column.shift,
        psi=column.psi,
        moved=column.moved,
        missing=column.missing,
        unseen=column.unseen,
        known="new" if column.new else "gone" if column.gone else "both",
    )
