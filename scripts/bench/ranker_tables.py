"""The tables of the ranker's benchmark, from its figures.

A figure of several seeds is shown as its mean and the larger of two standard errors: over the seeds, and the average one within a seed.
Splits of a trial overlap, so the first alone would be too small.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranker.evaluate.closed_loop import EXPLOIT
from ranker.evaluate.peers import PEERS
from scripts.bench.allocator_tables import OLD, seconds
from scripts.bench.ranker_bandit import OWN
from scripts.bench.ranker_figures import OFFERMIX, Looped, Pair, Scored, Speed, Spending, Standing
from scripts.bench.ranker_speed import SCORING
from scripts.bench.ranker_trials import SOURCES
from scripts.bench.results import Block, KeptRecord, MeasuredTable, circumstances
from scripts.judging.reference_policies import ALL_KNOWING, ORACLE

SHOWN_AT = (0.1, 0.25, 0.5, 0.75, 1.0)
ASKED = {"train": (300.0, "4.0"), SCORING: (30.0, "")}
THOUSAND = 1_000.0  # listeners
LOOPED = (
    "strategy", "% of the best (least to most)", "EUR", "minus exploit only", "the same, second half",
    "second half, without the cost of exploring", "cost of exploring", "error on avoided actions", "s",
)  # fmt: skip
NOTHING = 1e-9  # what rounding leaves of an exact zero
Group = tuple[object, ...]


@dataclass(frozen=True)
class RankerFigures:
    """Figures that belong in one row, by the key of that row; `marks` what is told of it beside its name."""

    groups: Mapping[Group, Sequence[object]]
    marks: Mapping[Group, str]

    def named(self, group: Group, name: str) -> str:
        return f"{name}{self.marks[group]}"


def block(kept: Sequence[KeptRecord]) -> Block:
    """Everything measured so far."""
    told, machines = circumstances(kept)
    tables = [
        trial("hillstrom", _by(kept, machines, Standing, "hillstrom")),
        trial("promotion", _by(kept, machines, Standing, "promotion")),
        bandit(_by(kept, machines, Standing, "bandit")),
        *markets(_by(kept, machines, Standing, "market")),
        scored(_by(kept, machines, Scored)),
        spent(_by(kept, machines, Spending)),
        *explored(_by(kept, machines, Looped)),
        speed(_by(kept, machines, Speed)),
    ]
    return Block(f"Measured on {told}.", [table for table in tables if table.rows], _legend(kept))


def _by(kept: Sequence[KeptRecord], machines: Mapping[str, str], kind: type, part: str | None = None) -> RankerFigures:
    """The figures of a kind and part, those of different seeds together."""
    groups: dict[Group, list[object]] = {}
    old: dict[Group, str] = {}
    for each in kept:
        figure = each.figure
        if isinstance(figure, kind) and part in (None, getattr(figure, "part", None)):
            group = (machines[each.machine], *_of(figure))
            groups.setdefault(group, []).append(figure)
            old[group] = old.get(group, "") or ("" if each.fresh or machines[each.machine] else OLD)
    return RankerFigures(groups, {group: f"{group[0]}{old[group]}" for group in groups})


def _of(figure: Standing | Spending | Scored | Speed | Looped) -> Group:
    """What a row of a table is about."""
    if isinstance(figure, Standing):
        return figure.users, figure.learner
    if isinstance(figure, Looped):
        return figure.users, figure.market, figure.strategy
    if isinstance(figure, Spending):
        return figure.part, figure.users, figure.rival
    return (figure.users, figure.metric) if isinstance(figure, Scored) else figure.key


def trial(part: str, figures: RankerFigures) -> MeasuredTable:
    """A trial's learners: ours, the baselines, then the peers as they stand in PEERS."""
    source = SOURCES[part]
    order = [*source.learners, *PEERS]
    groups = sorted(figures.groups, key=lambda group: order.index(group[-1]) if group[-1] in order else len(order))
    qinis = [(f"qini {name}", _qini_scale(part)) for name in source.names]
    money = part == "promotion"
    own = [("net", 1.0), ("rate", 1.0)] if money else [("value", 100.0), ("over fixed", 100.0)]
    ahead = [*qinis, ("net", 1.0) if money else ("value", 100.0)]
    rows = [
        (
            figures.named(group, str(group[-1])),
            *(_shown(figures.groups[group], "estimates", name, scale) for name, scale in (*qinis, *own)),
            *([_sent(figures.groups[group])] if money else []),
            *(_shown(figures.groups[group], "ahead", name, scale, group[-1] != OFFERMIX) for name, scale in ahead),
            _ended(figures.groups[group]),
        )
        for group in groups
    ]
    return MeasuredTable(f"{_title(part)}; splits: {_seeds(figures)}", _columns(part, source.names), rows)


def _qini_scale(part: str) -> float:
    return 1e4 if part == "promotion" else 100.0


def _title(part: str) -> str:
    return {
        "hillstrom": "Hillstrom's e-mail trial, visits, half to learn from and half to judge",
        "promotion": "The promotion trial, purchases, half to learn from and half to judge",
    }[part]


def _columns(part: str, names: Sequence[str]) -> tuple[str, ...]:
    if part == "promotion":
        return (
            "learner", "Qini x 10,000", "net incremental revenue", "incremental response rate", "sent to, %",
            "ours - peer: Qini", "ours - peer: revenue", "s",
        )  # fmt: skip
    qinis = [f"Qini {name} x 100" for name in names]
    return (
        "learner", *qinis, "visits, %", "minus mens to all, points",
        *(f"ours - peer: Qini {name}" for name in names), "ours - peer: visits", "s",
    )  # fmt: skip


def _seeds(figures: RankerFigures) -> int:
    return max((len(group) for group in figures.groups.values()), default=0)


def _shown(figures: Iterable[Standing], where: str, name: str, scale: float, wanted: bool = True) -> str:
    pairs = [getattr(figure, where)[name] for figure in figures if name in getattr(figure, where)]
    return mean(pairs, scale, "+" if where == "ahead" or name == "over fixed" else "") if pairs and wanted else ""


def _sent(figures: Sequence[Standing]) -> str:
    shares = [figure.estimates["share"][0] for figure in figures if figure.estimates]
    return f"{100 * np.mean(shares):.0f}" if shares else ""


def mean(pairs: Sequence[Pair], scale: float = 1.0, sign: str = "") -> str:
    """Mean ± the larger of the standard error over seeds and the average one within."""
    value, stderr = averaged(pairs)
    value, stderr = scale * value, scale * stderr
    if max(abs(value), stderr) < NOTHING:
        return "0"
    digits = _digits(stderr if stderr > NOTHING else abs(value))
    return f"{value:{sign},.{digits}f}" + (f" ± {stderr:,.{digits}f}" if stderr > NOTHING else "")


def averaged(pairs: Sequence[Pair]) -> tuple[float, float]:
    values = np.array([value for value, _ in pairs])
    over = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return float(values.mean()), float(max(over, np.mean([stderr for _, stderr in pairs])))


def _digits(size: float) -> int:
    """Decimals that show two digits of such a number."""
    return int(np.clip(1 - np.floor(np.log10(size)), 0, 6)) if size > 0 else 1


def _ended(figures: Sequence[Standing]) -> str:
    """Average seconds, or why there is nothing."""
    failed = [figure.outcome for figure in figures if figure.outcome != "done"]
    taken = [figure.seconds for figure in figures if figure.seconds is not None]
    return failed[0] if failed else seconds(float(np.mean(taken))) if taken else ""


def bandit(figures: RankerFigures) -> MeasuredTable:
    rows = [
        (
            figures.named(group, str(group[-1])),
            _shown(figures.groups[group], "estimates", "clicks", 100.0),
            _shown(figures.groups[group], "ahead", "clicks", 100.0),
            figures.groups[group][-1].note,
        )
        for group in figures.groups
    ]
    return MeasuredTable(
        "Open Bandit sample: the value of bts, estimated from logs of random recommendations",
        ("clicks by", "clicks, %", f"minus {OWN}, points", "note"),
        rows,
    )


def markets(figures: RankerFigures) -> list[MeasuredTable]:
    """A table for each size."""
    sizes = sorted({group[1] for group in figures.groups})
    return [_market(users, figures) for users in sizes]


def _market(users: int, figures: RankerFigures) -> MeasuredTable:
    here = {group: found for group, found in figures.groups.items() if group[1] == users}
    share = {
        group: np.mean([f.estimates["share"][0] for f in found if f.estimates] or [-1]) for group, found in here.items()
    }
    oracle = {f.seed: f.estimates["value"][0] for group, found in here.items() if group[-1] == ORACLE for f in found}
    rows = [
        (
            figures.named(group, str(group[-1])),
            _range([f.estimates["share"][0] for f in here[group] if f.estimates], 100.0),
            _ahead_on_truth(here[group], oracle) if group[-1] != OFFERMIX else "",
            _ahead_on(here[group]) if group[-1] not in (OFFERMIX, ORACLE, ALL_KNOWING) else "",
            _broken(here[group]),
            _ended(here[group]),
        )
        for group in sorted(here, key=lambda group: -share[group])
    ]
    seeds = max(len(found) for found in here.values())
    columns = (
        "policy",
        "% of the oracle (least to most)",
        "ours - policy, % of the oracle",
        "ours ahead on",
        "rules broken in truth",
        "s",
    )
    return MeasuredTable(f"A market of {users:,} users; seeds: {seeds}", columns, rows)


def _range(values: Sequence[float], scale: float, digits: int = 1) -> str:
    if not values:
        return ""
    middle, low, high = (f"{scale * each:.{digits}f}" for each in (np.mean(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def _ahead_on_truth(figures: Sequence[Standing], oracle: Mapping[int, float]) -> str:
    pairs = [
        [part / oracle[figure.seed] for part in figure.ahead["value"]]
        for figure in figures
        if figure.ahead and figure.seed in oracle
    ]
    return mean(pairs, 100.0, "+") if pairs else ""


def _ahead_on(figures: Sequence[Standing]) -> str:
    known = [figure.ahead["value"] for figure in figures if figure.ahead]
    return f"{sum(value > 0 for value, _ in known)} of {len(known)}" if known else ""


def _broken(figures: Sequence[Standing]) -> str:
    counted: dict[str, int] = {}
    for figure in figures:
        for rule in filter(None, figure.note.split(", ")):
            counted[rule] = counted.get(rule, 0) + 1
    return ", ".join(rule if len(figures) == 1 else f"{rule} ({count})" for rule, count in counted.items())


def scored(figures: RankerFigures) -> MeasuredTable:
    rows = [
        (
            f"{group[1]:,}",
            figures.named(group, str(group[-1])),
            *(_range([getattr(f, name) for f in figures.groups[group]], scale, digits) for name, scale, digits in (
                ("coverage", 100.0, 1), ("slope", 1.0, 2),
            )),
            _slope_of_all(figures.groups[group]),
            *(_range([getattr(f, name) for f in figures.groups[group]], 1.0, 2) for name in ("within", "correlation")),
        )
        for group in sorted(figures.groups, key=lambda group: group[1])
    ]  # fmt: skip
    columns = (
        "users",
        "metric",
        "covered by 90 % intervals, %",
        "slope",
        "slope over all seeds together",
        "slope within actions",
        "correlation within actions",
    )
    return MeasuredTable("Scores next to the truth (least to most over seeds)", columns, rows)


def _slope_of_all(figures: Sequence[Scored]) -> str:
    """Of one regression of truth on score over the pairs of all seeds, each less its seed's averages; its standard error by the
    jackknife over seeds. Where the size of effects is right on average and off by a fifth in each seed, a mean of slopes is 1.04, since
    1 / x is convex, and this one 0.96."""
    if len(figures) < 2:
        return ""
    weight_S = np.array([figure.spread**2 for figure in figures])
    total_S = weight_S * np.array([figure.slope for figure in figures])
    without_S = (total_S.sum() - total_S) / (weight_S.sum() - weight_S)
    stderr = np.sqrt((len(figures) - 1) / len(figures) * ((without_S - without_S.mean()) ** 2).sum())
    return f"{total_S.sum() / weight_S.sum():.2f} ± {stderr:.2f}"


def spent(figures: RankerFigures) -> MeasuredTable:
    rows = [
        (
            f"{group[1]}{f' {group[2]:,}' if group[2] else ''}",
            figures.named(group, str(group[-1])),
            *(_difference_at(at, figures.groups[group]) for at in SHOWN_AT),
            _lowest(figures.groups[group]),
        )
        for group in sorted(figures.groups, key=lambda group: group[1:3])
    ]
    columns = ("data", "peer", *(f"{100 * at:.0f} % of budget" for at in SHOWN_AT), "lowest, in standard errors")
    return MeasuredTable(
        "At every budget: ours - peer, in % of our gain at the largest budget",
        columns,
        rows,
    )


def _differences(figures: Sequence[Spending]) -> list[tuple[float, float, float]]:
    """(share of the budget, mean difference, its standard error), relative to our gain at the largest budget."""
    gain = float(np.mean([figure.gain for figure in figures]))
    points = zip(*(figure.points for figure in figures), strict=True)
    return [(at[0][0], *(each / abs(gain) for each in averaged([point[1:] for point in at]))) for at in points]


def _difference_at(share: float, figures: Sequence[Spending]) -> str:
    found = _differences(figures)
    _, value, stderr = min(found, key=lambda point: abs(point[0] - share))
    return mean([[value, stderr]], 100.0, "+")


def _lowest(figures: Sequence[Spending]) -> str:
    known = [(value / stderr, share) for share, value, stderr in _differences(figures) if stderr > 0]
    if not known:
        return ""
    z, share = min(known)
    return f"{z:+.1f} at {100 * share:.0f} %"


def explored(figures: RankerFigures) -> list[MeasuredTable]:
    """Two tables for each market: all weeks together, and week by week."""
    there = dict.fromkeys(group[1:3] for group in figures.groups)
    return [table for users, market in there for table in _explored(users, market, figures)]


def _explored(users: int, market: str, figures: RankerFigures) -> Iterable[MeasuredTable]:
    here = {group: found for group, found in figures.groups.items() if group[1:3] == (users, market)}
    done = {group: [f for f in found if f.outcome == "done"] for group, found in here.items()}
    plain = {(group[0], f.seed): f for group, found in done.items() if group[-1] == EXPLOIT.name for f in found}
    weeks = max((len(f.value) for found in done.values() for f in found), default=0)
    title = f"Closed loop of {weeks} weeks, {users:,} listeners, a market that {market}"
    rows, weekly = [], []
    for group, found in done.items():
        name = figures.named(group, str(group[-1]))
        if not found:
            rows.append((name, *[""] * 7, here[group][0].outcome))
            continue
        pairs = [(f, plain[group[0], f.seed]) for f in found if (group[0], f.seed) in plain]
        wrong = [[float(np.mean(f.error[weeks // 2 :])), 0.0] for f in found]
        against = pairs if group[-1] != EXPLOIT.name else []
        learned = found if any(value > 0 for value, _ in wrong) else []  # the others are told the truth
        alone = [(replace(one, value=one.exploiting), other) for one, other in against if learned]
        costs = [[float(np.mean(f.exploiting) - np.mean(f.value)), 0.0] for f in learned]
        rows.append(
            (
                name,
                _range([sum(f.value) / sum(f.best) for f in found], 100.0),
                mean([[np.mean(f.value), 0.0] for f in found], THOUSAND),
                _less(against, slice(None)),
                _less(against, slice(weeks // 2, None)),
                _less(alone, slice(weeks // 2, None)),
                mean(costs, THOUSAND) if learned else "",
                mean(wrong, THOUSAND) if learned else "",
                _ended(found),
            )
        )
        shares = np.mean([np.array(f.value) / np.array(f.best) for f in found], axis=0)
        weekly.append((name, *(f"{100 * share:.0f}" for share in shares)))
    seeds = max((len(found) for found in done.values()), default=0)
    yield MeasuredTable(f"{title}; seeds: {seeds}", LOOPED, rows)
    if weekly:
        yield MeasuredTable(
            f"{title}: % of the best by week", ("strategy", *(str(number + 1) for number in range(weeks))), weekly
        )


def _less(pairs: Sequence[tuple[Looped, Looped]], weeks: slice) -> str:
    """One strategy less another with the same listeners and dice, per 1,000 listeners and week."""
    found = [[float(np.mean(one.value[weeks]) - np.mean(other.value[weeks])), 0.0] for one, other in pairs]
    return mean(found, THOUSAND, "+") if found else ""


def speed(figures: RankerFigures) -> MeasuredTable:
    rows = [
        row
        for group in figures.groups
        for row in (_speed(figures.named(group, str(group[1])), figures.groups[group][-1]),)
    ]
    columns = (
        "command",
        "rows",
        "s",
        "target s",
        "CPU s",
        "GiB",
        "target GiB",
        "floor s",
        "times the floor",
        "the floor",
    )
    return MeasuredTable("Speed, from files to files", columns, rows)


def _speed(name: str, figure: Speed) -> tuple[str, ...]:
    taken = sum(figure.seconds.values()) if figure.seconds else None
    full = figure.rows in (2_000_000, 1_000_000)
    limit, memory = ASKED[figure.what] if full else (None, "")
    return (
        name,
        f"{figure.rows:,}",
        seconds(taken) if taken is not None else figure.outcome,
        seconds(limit),
        seconds(figure.cpu),
        "" if figure.peak_gib is None else f"{figure.peak_gib:.1f}",
        memory,
        seconds(figure.floor),
        "" if not figure.floor or taken is None else f"{taken / figure.floor:.1f}",
        figure.floor_of,
    )


def _legend(kept: Sequence[KeptRecord]) -> list[str]:
    figures = [each.figure for each in kept]
    versions = sorted({f.version for f in figures if isinstance(f, Standing) and f.version})
    said = [
        "`a ± b` over several seeds: the mean, and the larger of two standard errors, the one over seeds and the average "
        "one within a seed.",
        "`ours - peer`, `ours - policy`: positive means that offermix is better. Differences are paired on the same rows.",
        "`s`: seconds.",
        "Peers are regularised alike. Boosted trees are LightGBM with 120 trees (300 on the market) of at most 7 leaves, "
        "rate 0.05, at least 200 customers in a leaf and penalty 5. Forests have at least 200 customers in a leaf. "
        "Propensities are the shares known by design.",
    ]
    said += [f"Versions: {', '.join(versions)}."] if versions else []
    said += [
        "Net incremental revenue: 10 a purchase, 0.15 a promotion, sent where the score is above 0.015.",
        "Market: every policy keeps the same rules in the same allocator. The sums that rules limit are those of our scores.",
        "`oracle`: knows the true expectations given the observable features. `all-knowing`: knows the hidden traits too.",
        "`valuenet, averaged`: our own effects, averaged over users.",
    ]
    if any(isinstance(figure, Looped) for figure in figures):
        said += [
            "Closed loop: EUR of the policy's objective per 1,000 listeners and week, by the true expectations. Differences "
            "are paired on the same listeners and random draws; ± is over seeds.",
            "`% of the best`: the best for the listeners as the strategy's own weeks left them. Listeners who were shown "
            "nothing for a while tire less of the next contacts.",
            "`cost of exploring`: how much more the same model would earn without exploring, over all weeks. `second half, "
            "without the cost of exploring`: how much more that model would then earn than exploiting alone.",
            "`error on avoided actions`: root mean square error of the average worth of actions that exploiting shows to "
            "fewer than one listener in 200, second half.",
        ]
    if any(not each.fresh for each in kept):
        said.append(f"{OLD.strip()}: measured by an earlier version of the program or with other settings.")
    return said
