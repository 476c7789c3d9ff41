"""The ranker next to its baselines and to other libraries: on public trials, on markets whose truth is known, and by the clock.

Every run has a process of its own. Every figure is kept in ranker.jsonl as soon as it is measured.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from ranker.evaluate.closed_loop import EXPLOIT
from ranker.evaluate.peers import PEERS
from ranker.files import InputError
from scripts.bench import ranker_bandit, ranker_exploration, ranker_market, ranker_speed, ranker_tables, ranker_trials
from scripts.bench.allocator_runs import Stopped, apart
from scripts.bench.ranker_figures import KINDS, OFFERMIX, Looped, Scored, Speed, Spending, Standing
from scripts.bench.ranker_speed import SCORING, TRAINING
from scripts.bench.ranker_trials import SOURCES
from scripts.bench.results import Block, Results, kind_and_key, machine, sources_digest
from scripts.cli import entry
from scripts.cli.settings import BenchSettings
from scripts.runs import digests

PACKAGES = ("torch", "scikit-learn", "numpy", "scipy")
OF_LEARNING = ("ranker", "scripts/bench/ranker_trials.py")
OF_BANDIT = ("ranker/trials/open_bandit.py", "ranker/evaluate/off_policy.py", "scripts/bench/ranker_bandit.py")
OF_MARKET = (
    "ranker",
    "allocator",
    "scripts/judging",
    "scripts/bench/ranker_market.py",
)
OF_SPEED = ("ranker", "scripts/train.py", "scripts/score.py", "scripts/bench/ranker_speed.py")
OF_EXPLORATION = ("ranker", "scripts/bench/ranker_exploration.py")
PATIENCE = 7_200.0
USERS = 200_000
Figure = Standing | Spending | Scored | Speed | Looped


def measure(settings: BenchSettings) -> Block:
    """Measures everything asked for; the tables of all figures in the file. Raises InputError."""
    asked = settings.bench
    named = {*PEERS, *ranker_market.LEARNERS}
    problems = [f"peers: there is no peer '{name}'" for name in asked.peers or () if name not in named]
    problems += [f"{file}: there is no such file; trials=DIR names the folder" for file in _missing(settings)]
    if problems:
        raise InputError(problems)
    out = settings.paths.out or Path("runs") / "bench"
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out / "ranker.jsonl", KINDS, lambda figure: program(figure, settings), machine(PACKAGES))
    results.newest()  # a file that holds something else is told before anything runs
    with tempfile.TemporaryDirectory(dir=out) as folder:
        bench = _RankerBench(settings, results, Path(folder), out / "peers")
        for part in dict.fromkeys(asked.parts):
            bench.measure(part)
    return ranker_tables.block(results.newest())


def _missing(settings: BenchSettings) -> Iterable[Path]:
    trials, parts = settings.bench.trials, settings.bench.parts
    needed = [trials / source.file for part, source in SOURCES.items() if part in parts]
    needed += [trials / ranker_bandit.FOLDER] if "bandit" in parts else []
    return (path for path in needed if not path.exists())


def program(figure: Figure, settings: BenchSettings) -> str:
    """What a figure depends on: the code, the settings of learning, and the version of a peer's package as it is installed."""
    learning = digests.config_digest({"model": settings.model, "fit": settings.fit})[:16]
    if isinstance(figure, Speed):
        return f"{sources_digest(OF_SPEED)} {learning}"
    if isinstance(figure, Looped):
        return f"{sources_digest(OF_EXPLORATION)} {learning}"
    if isinstance(figure, Standing) and figure.part == "bandit":
        return sources_digest(OF_BANDIT)
    if isinstance(figure, Scored) or figure.part == "market":
        return f"{sources_digest(OF_MARKET)} {learning} {_version('lightgbm')}"
    peer = PEERS.get(figure.learner) if isinstance(figure, Standing) else None
    version = "" if peer is None else f" {_version(peer.package)}"
    return f"{sources_digest(OF_LEARNING)} {learning}{version}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


class _RankerBench:
    """One call's measuring; with `resume`, of what is not in the results. believed: where peers' effects are kept."""

    def __init__(self, settings: BenchSettings, results: Results, folder: Path, believed: Path):
        self.settings, self.asked, self.results, self.folder = settings, settings.bench, results, folder
        self.believed = believed

    def measure(self, part: str) -> None:
        seeds = range(self.settings.seed, self.settings.seed + self.asked.seeds)
        if part == "bandit":
            self._keep(ranker_bandit.run(self.asked.trials, self.settings.seed))
        elif part == "speed":
            self._speed()
        else:
            work = {"market": self._market, "exploration": self._explored}.get(part, self._split)
            for seed in seeds:
                work(part, seed)

    def _split(self, part: str, seed: int) -> None:
        """Ours and the baselines in one process, then the peers in another, whose libraries do as they like with memory and threads."""
        names = [name for name in PEERS if self.asked.peers is None or name in self.asked.peers]
        wanted = [name for name in names if not self._is_known(Standing(part, 0, seed, name))]
        if not wanted and self._is_known(Standing(part, 0, seed, OFFERMIX)):
            entry.log.info("%s, split %d: measured before", part, seed)
            return
        entry.log.info("%s, split %d", part, seed)
        file = self.folder / "half.npz"
        self.believed.mkdir(exist_ok=True)
        parts = (part, self.asked.trials, seed, self.settings, file)
        self._keep(apart(ranker_trials.run_half, *parts, seconds=PATIENCE)[0])
        entry.log.info("  peers")
        parts = (part, seed, wanted, file, self.believed, self.asked.resume)
        try:
            found = apart(ranker_trials.run_peers, *parts, seconds=max(len(wanted), 1) * self.asked.limit)[0]
        except Stopped as stopped:
            found = [Standing(part, 0, seed, name, str(stopped)) for name in wanted]
        self._keep(found)

    def _market(self, part: str, seed: int) -> None:
        users = self.asked.users or USERS
        if self._is_known(Standing(part, users, seed, OFFERMIX)):
            entry.log.info("market of %s users, seed %d: measured before", f"{users:,}", seed)
            return
        entry.log.info("market of %s users, seed %d", f"{users:,}", seed)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            learners = [name for name in ranker_market.LEARNERS if self.asked.peers is None or name in self.asked.peers]
            arguments = (self.settings, users, seed, Path(place), learners)
            try:
                found = apart(ranker_market.run, *arguments, seconds=PATIENCE)[0]
            except Stopped as stopped:
                entry.log.warning("  %s", stopped)
                found = [Standing(part, users, seed, OFFERMIX, str(stopped))]
        self._keep(found)

    def _explored(self, part: str, seed: int) -> None:
        users, ours = self.asked.users or ranker_exploration.USERS, EXPLOIT.name
        for market in ranker_exploration.MARKETS:
            told = f"a market of {users:,} users that {market}, seed {seed}"
            if self._is_known(Looped(market, users, seed, ours)):
                entry.log.info("%s: measured before", told)
                continue
            entry.log.info("%s", told)
            try:
                arguments = (self.settings, users, seed, market)
                found = apart(ranker_exploration.run, *arguments, seconds=PATIENCE)[0]
            except Stopped as stopped:
                entry.log.warning("  %s", stopped)
                found = [Looped(market, users, seed, ours, str(stopped))]
            self._keep(found)

    def _speed(self) -> None:
        rows = self.asked.rows
        wanted = {TRAINING: rows, SCORING: rows // 2}
        if all(self._is_known(Speed(what, count)) for what, count in wanted.items()):
            entry.log.info("speed with %s rows: measured before", f"{rows:,}")
            return
        entry.log.info("speed with %s rows", f"{rows:,}")
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            folder = Path(place)
            apart(ranker_speed.make, rows, self.settings.seed, folder, seconds=PATIENCE)
            for what, work in ((TRAINING, ranker_speed.run_training), (SCORING, ranker_speed.run_scoring)):
                try:
                    made, peak, _ = apart(work, self.settings, wanted[what], folder, seconds=PATIENCE)
                except Stopped as stopped:
                    entry.log.warning("  %s: %s", what, stopped)
                    self._keep([Speed(what, wanted[what], str(stopped))])
                    break  # without a model there is nothing to score with
                self._keep([replace(made, peak_gib=peak)])

    def _keep(self, figures: Sequence[Figure]) -> None:
        for figure in figures:
            self.results.add(figure)

    def _is_known(self, wanted: Figure) -> bool:
        """With `resume`: measured by this program on this machine, to the end."""
        return self.asked.resume and any(
            each.fresh and each.figure.outcome == "done" and kind_and_key(each.figure) == kind_and_key(wanted)
            for each in self.results.newest()
            if isinstance(each.figure, type(wanted))
        )
