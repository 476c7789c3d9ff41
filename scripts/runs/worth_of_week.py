"""What a week brings, and whether that is enough to take the place of the last published week: guardrails against empty and absurd weeks.

A week without contacts is never published. Value, contacts and reach must come to a part of the last published week's. A week that
cannot be compared is said to be so, and not refused.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from allocator.formats import CERTIFICATE, SaidByCertificate
from scripts.cli.settings import PublishOptions

log = logging.getLogger("offermix.publish")

FIGURES = {
    "value": ("value", "min_value", ",.2f"),
    "contacts": ("contacts", "min_contacts", ",.0f"),
    "reach": ("listeners who get a contact", "min_reach", ",.0f"),
}
"""Figure -> its words, the setting that says how much of last week's it must come to, and how it is written."""


def reasons(allocation: Path, guardrails: PublishOptions, last: Path | None, last_name: str) -> Iterator[str]:
    """Why this week must not take the place of the last one, each a sentence with both numbers. last: the published allocation, if any."""
    now = SaidByCertificate.from_file_if_sound(allocation / CERTIFICATE)
    if now is None:
        return
    if now.contacts == 0:
        yield "it has 0 contacts: an empty week is not published"
    if last is None:
        return
    before = SaidByCertificate.from_file_if_sound(last / CERTIFICATE)
    if before is None:
        log.warning("Not compared with %s, the last published week: its certificate cannot be read", last_name)
        return
    yield from _compared(now, before, guardrails, last_name)


def _compared(
    now: SaidByCertificate, before: SaidByCertificate, guardrails: PublishOptions, last: str
) -> Iterator[str]:
    for figure, (words, setting, form) in FIGURES.items():
        part, here, there = getattr(guardrails, setting), getattr(now, figure), getattr(before, figure)
        if part is None:
            continue
        if why := _not_comparable(figure, now, before):
            log.warning("%s not compared with %s, the last published week: %s", words.capitalize(), last, why)
        elif there > 0 and here < part * there:
            share = f"{100 * here / there:.1f} % of the {there:{form}} of {last}, the last published week"
            yield f"{words}: {here:{form}} is {share}; the guardrail publish.{setting}={part:g} asks for {100 * part:g} %"


def _not_comparable(figure: str, now: SaidByCertificate, before: SaidByCertificate) -> str:
    if None in (getattr(now, figure), getattr(before, figure)):
        return "a certificate does not state it"
    if figure == "value" and now.objective != before.objective:
        return "the objectives differ"
    return ""
