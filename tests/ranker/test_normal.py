"""Quantiles are those of the tables, to every digit that figures were made with."""

from scipy.stats import norm

from ranker.normal import ONE_SIDED_90, Z90, Z95, quantile


def test_quantiles_are_those_of_the_tables() -> None:
    assert (Z95, Z90, ONE_SIDED_90) == (1.959964, 1.644854, 1.281552)
    assert all(quantile(chance) == round(float(norm.ppf(chance)), 6) for chance in (0.01, 0.5, 0.8, 0.999))
