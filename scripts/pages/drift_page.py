"""How far a week's data is from last week's, from drift.json: a page, and a table in the terminal."""

from collections.abc import Iterator
from pathlib import Path

from scripts.cli import entry
from scripts.formats.drift import DriftOfColumn, DriftOfTable, DriftRecord
from scripts.pages import html
from scripts.pages.html import Page, Section, Table, Tile

MOST_SHOWN = 12
COLUMNS = ("Column", "", "Moved by, spreads", "PSI", "Values moved", "Missing part")
WORDS = (
    (
        "Spread",
        "How far the values of last week lie from one another: their standard deviation without the outermost 2 %.",
    ),
    ("Moved by", "How far the distribution as a whole was shifted (Wasserstein distance), in spreads of last week."),
    ("PSI", "Population stability index over last week's tenths. Below 0.1 little has changed; above 0.25 much has."),
    ("Values moved", "The share of rows whose category would have to change to be as last week (total variation)."),
    ("Missing part", "How much larger the part without a value is than last week."),
    ("Unseen", "A value that last week did not have in 100 rows or more. The model treats it like an unknown one."),
)
TITLES = {
    "scored users": "The listeners who are scored",
    "scores": "The scores",
    "logs": "The logs",
    "users": "Table users",
    "exposures": "Table exposures",
    "outcomes": "Table outcomes",
}


def write_page(found: DriftRecord, path: Path) -> None:
    html.write(page_of(found), path)


def page_of(found: DriftRecord) -> Page:
    tables = sorted(found.tables, key=lambda each: list(TITLES).index(each.table) if each.table in TITLES else 99)
    return Page(
        title=f"Data of {found.run}",
        eyebrow=f"{found.run} beside {found.week}" if found.week else found.run,
        headline=headline(found),
        tiles=tuple(_tile(each) for each in tables),
        notices=tuple(_notices(found)),
        sections=(*(_section(each) for each in tables), _left_out(found)),
        words=WORDS,
    )


def headline(found: DriftRecord) -> str:
    """What moved most, in a sentence."""
    if found.week is None:
        return "Nothing was published before to compare with."
    most = next(iter(_by_size(found)), None)
    if most is None or most[1].size == 0:
        return f"Nothing moved since {found.week}."
    return f"Since {found.week}, {most[1].column} of {most[0]} moved most: {_said(most[1])}."


def _said(column: DriftOfColumn) -> str:
    words = [
        f"by {column.shift:,.2f} spreads" if column.shift is not None else "",
        f"{100 * column.moved:.0f} % of its values" if column.moved is not None else "",
        f"missing part {100 * column.missing:+.0f} points" if round(100 * column.missing) else "",
    ]
    return ", ".join(word for word in words if word)


def _tile(table: DriftOfTable) -> Tile:
    change = f"{table.rows_before:,} last week"
    return Tile(TITLES.get(table.table, table.table), f"{table.rows:,}", "rows", change)


def _notices(found: DriftRecord) -> Iterator[str]:
    for table in found.tables:
        for column in table.columns:
            if column.unseen:
                yield f"{column.column} of {table.table} has values never seen before: {', '.join(column.unseen)}."
            if column.known != "both":
                yield f"{column.column} of {table.table} is {column.known}."


def _section(table: DriftOfTable) -> Section:
    users = "" if table.users is None else f", of {table.users:,} listeners after {table.users_before:,}"
    words = f"{table.rows:,} rows after {table.rows_before:,}{users}."
    columns = [each for each in sorted(table.columns, key=lambda each: -each.size) if each.known == "both"]
    shown, rest = columns[:MOST_SHOWN], columns[MOST_SHOWN:]
    blocks = [Table("What moved most", COLUMNS, tuple(map(_row, shown)), words=2, folded=False)] if shown else []
    blocks += [Table("All other columns", COLUMNS, tuple(map(_row, rest)), words=2)] if rest else []
    return Section(table.table.replace(" ", "-"), TITLES.get(table.table, table.table), (words,), tuple(blocks))


def _row(column: DriftOfColumn) -> tuple[str, ...]:
    figures = (column.shift, column.psi, column.moved)
    unseen = f"unseen: {', '.join(column.unseen)}" if column.unseen else ""
    missing = f"{100 * column.missing:+.1f} points"
    return column.column, unseen, *("" if each is None else f"{each:,.3f}" for each in figures), missing


def _left_out(found: DriftRecord) -> Section:
    rows = tuple((what, f"{count:,}") for what, count in found.left_out.items())
    words = "What the stages of this week did not use." if rows else "The stages of this week used everything."
    blocks = (Table("Not used", ("What", "How many"), rows, folded=False),) if rows else ()
    return Section("left-out", "Left out", (words,), blocks)


def _by_size(found: DriftRecord) -> list[tuple[str, DriftOfColumn]]:
    columns = [(table.table, each) for table in found.tables for each in table.columns if each.known == "both"]
    return sorted(columns, key=lambda each: -each[1].size)


def show_drift(found: DriftRecord) -> None:
    """Prints what moved most, and what was not used."""
    if found.week is not None:
        rows = [(table, *_row(column)) for table, column in _by_size(found)[:MOST_SHOWN]]
        entry.show_table(f"{found.run} beside {found.week}", ("table", *(each.lower() for each in COLUMNS)), rows)
    if found.left_out:
        entry.show_table("Not used", ("what", "how many"), list(found.left_out.items()))
    print(headline(found))
