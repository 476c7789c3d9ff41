"""A regret.json of the least that one must hold."""

from collections.abc import Mapping

from scripts.formats.regret import Cannibalised, PolicyRegret, Regret

BEST = 9.0


def regret_of(shares: Mapping[str, float]) -> Regret:
    """shares: policy -> its share of the oracle's value, BEST."""
    return Regret(
        unit="", users=1, errors="", cannibalisation=Cannibalised(products=("a", "b"), factor=1.0), interference=(),
        policies=tuple(_policy(name, share) for name, share in shares.items()), unsolved=(),
    )  # fmt: skip


def _policy(name: str, share: float) -> PolicyRegret:
    return PolicyRegret(
        policy=name, about="", value=BEST * share, stderr=0.0, share_of_oracle=share, regret=BEST * (1 - share),
        regret_stderr=0.5, learned_minus_this=None, value_believed=None, value_without_cannibalisation=BEST * share,
        contacts=1.0, users_with_both_products=0, constraints=(), violations=(),
    )  # fmt: skip
