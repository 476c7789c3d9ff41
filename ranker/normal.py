"""Quantiles of the normal distribution to six places: how many standard errors make an interval or a bound."""

from statistics import NormalDist


def quantile(chance: float) -> float:
    """Standard deviations above the mean that are not exceeded with this chance."""
    return round(NormalDist().inv_cdf(chance), 6)


Z95, Z90 = quantile(0.975), quantile(0.95)
"""Half of a 95 % and of a 90 % interval, in standard errors."""
ONE_SIDED_90 = quantile(0.9)
"""From an estimate to its upper 90 % bound."""
