"""Joins tables of users, exposures and outcomes to logs: what was known at each decision, and what came of it."""

import logging

from ranker.profiles.table import write_profile_of_logs
from ranker.tables.prepare import Prepared, catalogue_of, prepare
from scripts.cli import entry
from scripts.cli.settings import PrepareSettings
from scripts.runs import stage

MOST_NAMED = 10
log = logging.getLogger("offermix")


def run(settings: PrepareSettings) -> Prepared:
    """Writes the logs and says how many decisions are in them, and how many were left out and why."""
    tables = settings.paths.tables
    inputs = [path for path in (tables, catalogue_of(tables)) if path.exists()]
    with (
        stage.write(settings.paths.logs, stage="prepare", inputs=inputs, config=settings.prepare) as out,
        entry.progress("Decisions joined") as advance,
    ):
        prepared = prepare(tables, out, settings.prepare, advance)
        write_profile_of_logs(tables, out, prepared.left_out)
    log.info(
        "Logs: %s of %s decisions, of which %s showed nothing; %s are not mature on %s, and %s of those known in part -> %s",
        f"{prepared.rows:,}",
        f"{prepared.decisions:,}",
        f"{prepared.nothing:,}",
        f"{prepared.immature:,}",
        prepared.known_before,
        f"{prepared.known_in_part:,}",
        settings.paths.logs,
    )
    if prepared.slates:
        log.info("Slates: %s listeners and days have several contacts, each a row", f"{prepared.slates:,}")
    if prepared.beside:
        log.info("Nothing shown beside a contact of that day: %s decisions, left out", f"{prepared.beside:,}")
    if prepared.late:
        log.warning(
            "Outcomes: %s of %s events were recorded on %s or later and are left out",
            f"{prepared.late:,}",
            f"{prepared.outcomes:,}",
            prepared.known_before,
        )
    if prepared.unnamed:
        shown = ", ".join(prepared.unnamed[:MOST_NAMED]) + (", ..." if len(prepared.unnamed) > MOST_NAMED else "")
        log.warning("Users: %d columns that schema.json does not name are left out: %s", len(prepared.unnamed), shown)
    for column, rows in prepared.unlisted.items():
        log.warning("Users: column %s: %s rows hold a value that schema.json does not list", column, f"{rows:,}")
    return prepared


if __name__ == "__main__":
    entry.main("prepare", PrepareSettings, run)
