"""Numbers as people read them: thousands separators, as many decimals as matter, and units."""

import math
from collections.abc import Sequence
from itertools import pairwise

from ranker.normal import Z90


def number(value: float | None) -> str:
    """Four digits or more in front of the point need no decimals; small numbers keep three significant digits."""
    if value is None:
        return "none"
    size = abs(value)
    if value == 0 or size >= 999.95 or float(value).is_integer():
        return f"{value:,.0f}" if round(value) != 0 else "0"
    if size >= 1:
        return f"{value:,.1f}" if size >= 100 else f"{value:,.2f}"
    if size < 1e-6:
        return f"{value:.2e}"
    decimals = 2 - math.floor(math.log10(size))
    text = f"{value:.{decimals}f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.split(".")[1])) if size >= 0.01 else text


def exact(value: float | None) -> str:
    """A bound as it was asked for: every digit that matters, up to nine."""
    if value is None:
        return "none"
    text = f"{value:,.9f}".rstrip("0").rstrip(".")
    return text if text not in ("0", "-0") or value == 0 else f"{value:.3e}"


def exact_percent(share: float) -> str:
    """A share as it was asked for: 0.055 -> '5.5 %'."""
    return f"{exact(round(100 * share, 7))} %"


def percent(share: float | None, decimals: int | None = None) -> str:
    """0.125 -> '12.5 %'."""
    if share is None:
        return "none"
    value = 100 * share
    if decimals is not None:
        return f"{value:,.{decimals}f} %"
    text = f"{value:,.{1 if abs(value) >= 1 or value == 0 else 2}f}"
    if text == "100.0" and value != 100:
        text = "99.9" if value < 100 else "100.1"  # nearly all is not all
    return f"{text} %"


def percent_at_most(share: float) -> str:
    """Two significant digits of percent, rounded up, so that 'at most' stays true."""
    value = 100 * max(share, 0.0)
    if value == 0:
        return "0 %"
    decimals = max(0, 1 - math.floor(math.log10(value)))
    scaled = value * 10**decimals
    nearest = round(scaled)
    rounded = nearest if abs(scaled - nearest) < 1e-9 * max(scaled, 1) else math.ceil(scaled)
    text = f"{rounded / 10**decimals:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def part_kept(kept: float, stderr: float) -> str:
    """What is left of an effect: '58 % (± 6 %)'. More than all that may be chance is all."""
    error = f"(± {100 * stderr:.0f} %)"
    nothing_lost = round(100 * kept) >= 100 and kept - 1.96 * stderr <= 1
    return f"all {error}" if nothing_lost else f"{100 * kept:.0f} % {error}"


def told_apart(values: Sequence[float]) -> list[str]:
    """Values that stand side by side, with as many decimals as it takes to see by how much they differ, six at most."""
    usual = [number(value) for value in values]
    ranked = sorted(set(values))
    nearest = min((high - low for low, high in pairwise(ranked)), default=math.inf)
    if nearest == math.inf or len(set(usual)) == len(ranked):
        return usual
    decimals = min(max(math.ceil(-math.log10(nearest / 2)), 0), 6)
    return [f"{value:,.{decimals}f}" for value in values]


def round_step(most: float) -> float:
    """The longest step of 1, 2 or 5 times a power of ten that is no longer than `most`, which is above zero."""
    power = 10.0 ** math.floor(math.log10(most) + 1e-9)
    return float(max(size * power for size in (0.5, 1.0, 2.0, 5.0) if size * power <= most * (1 + 1e-9)))


def longer_step(least: float) -> float:
    """The shortest step of 1, 2 or 5 times a power of ten that is no shorter than `least`, which is above zero."""
    power = 10.0 ** math.floor(math.log10(least) + 1e-9)
    return float(min(size * power for size in (1.0, 2.0, 5.0, 10.0) if size * power >= least * (1 - 1e-9)))


def short_of(reach: float, start: float) -> str:
    """`reach` in no more digits than its way from `start` needs, rounded towards `start`: the words never go further."""
    decimals = max(0, 1 - math.floor(math.log10(abs(reach - start)))) if reach != start else 0
    scaled = reach * 10**decimals
    nearest = round(scaled)
    inside = nearest if abs(scaled - nearest) < 1e-6 else math.floor(scaled) if reach > start else math.ceil(scaled)
    return exact(inside / 10**decimals)


def interval(value: float, stderr: float) -> str:
    """The 90 % interval of an estimate in words: '90 % interval 2,640 to 6,560'."""
    low, high = told_apart([value - Z90 * stderr, value + Z90 * stderr]) if stderr else [number(value)] * 2
    return f"90 % interval {low} to {high}"


def with_unit(value: float | None, unit: str) -> str:
    """'1,940 EUR'; '1 contact'."""
    if value is None:
        return "none"
    return f"{number(value)} {one(unit) if value == 1 else unit}".strip()


def one(unit: str) -> str:
    """The unit of a single piece: 'contacts' -> 'contact', 'EUR' -> 'EUR', 'opt-outs per contact' unchanged."""
    countable = unit.islower() and unit.endswith("s") and " per " not in unit and not unit.endswith("ss")
    return unit[:-1] if countable else unit
