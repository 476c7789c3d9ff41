"""The words after a command: keys, group choices and `set.ID.FIELD`, translated to Hydra's language, with every mistake listed.

Two meanings share a few names: `model=DIR` of a command is a path, and conf/model/ is a group of settings. The rule: a value that
is the name of an option of the group (`model=valuenet`, with no slash) chooses the option; anything else is the path
(`model=./valuenet`). conf/policy/ is never composed: `policy=FILE` is a path, and `policy=default` is short for the
file of that name in the company's policy/ (`--config-dir`) or in conf/policy/.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rapidfuzz import fuzz, process

from scripts.cli.loudness import IN_WORDS
from scripts.cli.shipped import called, groups, is_group, options, policy_file
from scripts.cli.statuses import first_line

if TYPE_CHECKING:
    from omegaconf import DictConfig


POLICY_FILES = ("policy", "base")
"""Keys whose value is a policy file, or short for one."""


@dataclass(frozen=True)
class Key:
    """A key of a command: where it lives in the configuration, and what it means.

    kind: `path`, `out` (a path that the command writes), `words` (taken as they stand), `value` or `yes` (true or false).
    """

    name: str
    target: str
    meaning: str
    kind: str = "path"


@dataclass(frozen=True)
class Call:
    """A command line, translated: flags for Hydra's own parser, overrides in its language, and everything found wrong."""

    flags: tuple[str, ...]
    hydra: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def multirun(self) -> bool:
        return "--multirun" in self.flags or "-m" in self.flags

    @property
    def completion(self) -> bool:
        return bool(COMPLETION_FLAGS & set(self.flags))


def _path(name: str, meaning: str, kind: str = "path") -> Key:
    return Key(name, f"paths.{name}", meaning, kind)


SEED = Key("seed", "seed", "the seed of everything random", "value")
RUNS = _path("runs", "the folder of all runs; runs/ by default")
ON_RECORD = (
    Key("person", "registry.person", "who does it", "words"),
    Key("reason", "registry.reason", "why", "words"),
)
STORE = Key(
    "store", "publish.store", "an object store that is published on as well: s3:// or gs://BUCKET/PREFIX", "words"
)
POLICY = _path("policy", "the policy file, YAML")
SCORES = _path("scores", "a scores dataset")
RUN_NAME = Key("run", "weekly.run", "the name of the run's folder; the week by default", "value")
SAMPLE = Key("sample", "ask.sample", "how many users the answer rests on", "value")
FULL = Key("full", "ask.full", "true: from allocations of all users", "value")
USERS = Key("users", "data.users", "how many users", "value")

KEYS: dict[str, tuple[str, tuple[Key, ...]]] = {
    "make_market": (
        "a synthetic market with known truth: tables/, users/, catalogue.json, truth/",
        (
            USERS,
            SEED,
            _path("out", "the folder to write", "out"),
            _path("after", "an allocation that a market answers: the market a week later; users and seed are its own"),
            Key(
                "later",
                "market.later",
                "weeks that pass after it, its own policy deciding all but the first; 1 by default",
                "value",
            ),
            _path("market", "the market that answers; the one beside the allocation by default"),
            _path("scores", "the scores that the allocation was made from; found by its manifest by default"),
        ),
    ),
    "prepare": (
        "joins exposures and outcomes, point in time, to logs",
        (
            _path("tables", "the folder of users/, exposures/ and outcomes/"),
            _path("logs", "the logs to write", "out"),
            SEED,
        ),
    ),
    "hillstrom": (
        "turns the public e-mail trial into logs, users and a catalogue",
        (_path("file", "the trial's CSV file, plain or gzipped"), _path("out", "the folder to write", "out"), SEED),
    ),
    "judge": (
        "judges an allocation of at most one contact per user from held-out logs",
        (
            _path("allocation", "an allocation dataset"),
            _path("logs", "logs of the same users under a known policy"),
            _path("model", "a model trained on other users, for the doubly robust estimate"),
            SEED,
        ),
    ),
    "train": (
        "trains, calibrates and evaluates a model",
        (_path("logs", "the logs to learn from"), _path("model", "the model to write", "out"), SEED),
    ),
    "score": (
        "writes a scores dataset",
        (
            _path("model", "a trained model"),
            _path("users", "the users to score"),
            _path("scores", "the scores dataset to write", "out"),
            _path("catalogue", "a catalogue.json other than the model's"),
            _path("exposures", "the exposures table; adds the history/ that contact rules with days count"),
            SEED,
        ),
    ),
    "evaluate": (
        "judges a model and the policy it leads to on logs of users who did not train it",
        (
            _path("model", "a trained model"),
            _path("logs", "logs to judge by; of those that trained the model, the users it did not see"),
            _path("training", "the logs that trained the model, where its manifest does not lead to them"),
            _path("scores", "the scores that the policy is meant for: how many users, on which day"),
            POLICY,
            _path("out", "the folder of evaluation.json and evaluation.html to write", "out"),
            RUNS,
            SEED,
        ),
    ),
    "allocate": (
        "solves, audits and writes an allocation dataset",
        (
            SCORES,
            POLICY,
            _path("out", "the allocation to write", "out"),
            _path("previous", "the published allocation, for churn and change"),
            SEED,
        ),
    ),
    "what_if": (
        "what a changed policy does: two policy files compared, or one with set.ID.FIELD=VALUE; publishes nothing",
        (
            SCORES,
            POLICY,
            _path("base", "the policy to compare with; without it, policy= without its set.*"),
            Key(
                "robust",
                "ask.robust",
                "true: by other views of the scores too, and what each rule costs in all",
                "value",
            ),
            _path("runs", "the folder of runs whose readouts tell how earlier promises came out; runs/ by default"),
            _path("also", "scores of the same users by another model, such as last week's, for robust=true"),
            _path("out", "the folder of what_if.json to write, if any", "out"),
            _path("previous", "the published allocation, for churn and change"),
            SAMPLE,
            FULL,
            SEED,
        ),
    ),
    "explain": (
        "why one listener gets what the allocation gives, or why the offers of a product get so few contacts",
        (
            _path("allocation", "an allocation dataset"),
            Key("user", "ask.user", "the listener's id", "words"),
            Key("product", "ask.product", "a product of the catalogue, in place of user", "words"),
            _path("scores", "the scores that the allocation was made from, where its manifest does not lead to them"),
            _path("out", "the folder of explain.json to write, if any", "out"),
            SAMPLE,
            SEED,
        ),
    ),
    "seek": (
        "which value of a field of the policy reaches a goal, or why none does; publishes nothing",
        (
            SCORES,
            POLICY,
            Key(
                "want", "ask.want", "the goal, like books_goal.achieved=40000, revenue=5000 or contacts=90000", "words"
            ),
            Key("by", "ask.by", "the field that may change, like books_goal.min or objective.subs.weight", "words"),
            Key(
                "least",
                "ask.least",
                "in place of want and by: contacts, a metric or a budget's id, as little as can be",
                "words",
            ),
            Key("give_up", "ask.give_up", "of the value, for least; 0.001 by default", "value"),
            _path("out", "the folder of seek.json to write, if any", "out"),
            _path("previous", "the published allocation, for churn and change"),
            SAMPLE,
            FULL,
            SEED,
        ),
    ),
    "frontier": (
        "what one thing costs in another, from the least to the most that the rules allow; publishes nothing",
        (
            SCORES,
            POLICY,
            Key("x", "ask.x", "whose bound moves: a metric, contacts, or the id of a constraint", "words"),
            Key("y", "ask.y", "what it costs or brings: the same, or value", "words"),
            Key("points", "ask.points", "how many bounds are tried", "value"),
            _path("out", "the folder of frontier.json to write, if any", "out"),
            _path("previous", "the published allocation, for churn and change"),
            SAMPLE,
            FULL,
            SEED,
        ),
    ),
    "console": (
        "a page on 127.0.0.1 to edit, try, compare, propose and publish policies",
        (
            RUNS,
            Key("run", "console.run", "the run that the page opens with", "value"),
            Key("port", "console.port", "8080 by default", "value"),
            SAMPLE,
            SEED,
        ),
    ),
    "readout": (
        "what a week really brought: the holdout against everybody else, and whether to ship",
        (
            _path("allocation", "the allocation that ran"),
            _path("tables", "tables taken after the week: schema.json, users/ and outcomes/, optional exposures/"),
            _path("out", "the folder of readout.json and readout.html to write", "out"),
            _path("scores", "the scores that the allocation was made from, where its manifest does not lead to them"),
            Key("policy", "paths.policy", "the policy file of the allocation, likewise"),
            RUNS,
            SEED,
        ),
    ),
    "plan_experiment": (
        "says how large an effect an experiment of so many listeners and weeks finds, and what a wanted effect needs",
        (
            _path("logs", "logs, which tell how outcomes vary"),
            Key("users", "plan.users", "listeners a week, both arms together", "value"),
            Key(
                "share",
                "plan.share",
                "of them, in the smaller arm; 0.02 against a holdout, 0.5 between policies",
                "value",
            ),
            Key("weeks", "plan.weeks", "that it lasts", "value"),
            Key(
                "effect", "plan.effect", "what must be found, per listener and week, or in percent of the mean", "words"
            ),
            Key("outcome", "plan.outcome", "one outcome; all of them without it", "words"),
            Key("lasting", "plan.lasting", "true: the arms stay as they are, instead of being drawn every week", "yes"),
            Key("groups", "plan.groups", "a text feature whose values are drawn as a whole, like market", "words"),
            _path("readout", "a readout, whose covariates make experiments more telling"),
            _path("what_if", "a what_if: two policies are compared, and its differences are the effects"),
            _path("out", "the folder of plan.json to write", "out"),
            SEED,
        ),
    ),
    "regret": (
        "judges the learned policy, and others under the same rules, on a synthetic market's truth",
        (
            _path("market", "a market that was written with its truth"),
            SCORES,
            POLICY,
            _path("out", "the folder of regret.json to write", "out"),
            SEED,
        ),
    ),
    "rehearse": (
        "rehearses the week's policy on users who did not train the model: promised, and what their logs say came",
        (
            _path("model", "a trained model"),
            _path("logs", "the logs that trained it"),
            SCORES,
            POLICY,
            _path("out", "the folder of rehearsal.json to write", "out"),
            SEED,
        ),
    ),
    "left_out": (
        "counts who gets no offers, which rules take them away, and how evenly segments are exposed",
        (
            _path("allocation", "an allocation"),
            _path("scores", "the scores that it was made from"),
            _path("out", "the folder of left_out.json to write", "out"),
            SEED,
        ),
    ),
    "exposures": (
        "turns an allocation, and what was really shown of it, into rows of exposures, with the chance of nothing too",
        (
            _path("allocation", "an allocation"),
            _path("scores", "the scores that it was made from; found by its manifest by default"),
            _path("shown", "a folder of what was really shown: user_id and action"),
            _path("out", "the folder of Parquet files to write, for tables/exposures", "out"),
            SEED,
        ),
    ),
    "report": (
        "writes the report of a run as one HTML page",
        (
            _path("run", "a run's folder"),
            _path("policy", "the file of its policy; by default the one that its manifest leads to"),
            SEED,
        ),
    ),
    "drift": (
        "how far a run's data is from that of the last published run, as a page and a table",
        (_path("run", "a run's folder"), SEED),
    ),
    "publish": ("flips the pointer to an audited run", (_path("run", "a run's folder"), STORE, RUNS, SEED)),
    "rollback": (
        "flips the pointer back to an earlier audited run",
        (Key("to", "paths.to", "the run's name or folder"), STORE, RUNS, SEED),
    ),
    "publications": (
        "lists who published what, when and why, and verifies that nothing of it was changed since",
        (
            STORE,
            Key(
                "head",
                "publications.head",
                "the digest of an entry that somebody noted: it must be there still",
                "words",
            ),
            RUNS,
        ),
    ),
    "promote": (
        "makes a version of the registered model the champion, by hand",
        (
            Key("version", "registry.version", "its number or alias; the challenger without it", "value"),
            *ON_RECORD,
            RUNS,
        ),
    ),
    "demote": (
        "gives the champion's place back to the version before it",
        (
            Key("version", "registry.version", "its number; the champion without it", "value"),
            *ON_RECORD,
            RUNS,
        ),
    ),
    "faults": (
        "stops a tiny week at every write, as a kill or a power cut would, and checks what is left and what the next call makes of it",
        (
            Key(
                "only",
                "faults.only",
                "sections: stops,kills,refused,full,damaged,inputs,mlflow,races,publications,clock",
                "words",
            ),
            Key("every", "faults.every", "of so many places where a fault can happen, one is tried", "value"),
            Key("first", "faults.first", "the first of them; with every=, another number tries other places", "value"),
            SEED,
        ),
    ),
    "bench": (
        "python -m scripts.bench allocator: the allocator next to general solvers and rules of thumb, on seeded instances; "
        "python -m scripts.bench ranker: the ranker next to its baselines and other libraries, on trials and markets; "
        "python -m scripts.bench questions: answers on a sample, their seconds and their errors",
        (
            Key(
                "what",
                "bench.what",
                "what is measured: allocator, ranker or questions; the word alone will do",
                "value",
            ),
            Key("sizes", "bench.sizes", "users of each instance, like 10000,100000", "value"),
            Key("shapes", "bench.shapes", "market, knapsack, grid; all of them by default", "value"),
            Key("peers", "bench.peers", "the peers, like [GLOP,HiGHS]; all of them by default", "value"),
            Key("limit", "bench.limit", "seconds that a peer may take to solve, or to learn", "value"),
            Key("gaps", "bench.gaps", "random instances of each shape for the distribution of gaps", "value"),
            Key("users", "bench.users", "users of each of those, or of each market of the ranker's", "value"),
            Key(
                "parts", "bench.parts", "of the ranker's: hillstrom,promotion,bandit,market,exploration,speed", "value"
            ),
            Key("seeds", "bench.seeds", "how many splits of each trial, and markets", "value"),
            Key("trials", "bench.trials", "the folder of the public trials' files", "value"),
            Key("edits", "bench.edits", "random edits of each instance's policy, for questions", "value"),
            Key("rows", "bench.rows", "logged decisions to train on for speed", "value"),
            Key(
                "resume",
                "bench.resume",
                "true: leaves out what this program has measured already on this machine",
                "value",
            ),
            Key(
                "update_readme", "bench.update_readme", "true: writes the tables into scripts/bench/README.md", "value"
            ),
            _path("out", "the folder of results; runs/bench by default", "out"),
            SEED,
        ),
    ),
    "weekly": (
        "the whole week: market or tables, prepare, train, score, allocate, audit, report, publish",
        (
            RUN_NAME,
            Key(
                "tables",
                "weekly.tables",
                "a folder with tables/, users/ and catalogue.json instead of a synthetic market",
            ),
            Key("policy", "weekly.policy", "the policy file, YAML"),
            Key(
                "publish",
                "weekly.publish",
                "true: publishes a run of another policy than the configured one too; false: publishes nothing",
                "value",
            ),
            STORE,
            RUNS,
            USERS,
            SEED,
        ),
    ),
}
AT_ONCE: dict[str, tuple[str, tuple[Key, ...]]] = {
    "init": (
        "begins a configuration of your own: a folder for --config-dir, with a policy to edit",
        (_path("out", "the folder to write; the path alone will do", "out"),),
    ),
    "check_policy": (
        "lists everything that is wrong with a policy, and what is seldom meant, in under a second",
        (
            POLICY,
            _path("scores", "the scores dataset that the policy is meant for: its words, its users, its day"),
            _path("catalogue", "a catalogue.json in place of scores: the offers alone"),
            Key("json", "", "true: a list of file, line, key, problem, suggestion and severity on stdout", "yes"),
            Key("words", "", "true: the words that `where`, `users` and `metric` know", "yes"),
        ),
    ),
    "diff_policy": (
        "tells in sentences what differs between two policies; called by git with seven words, it is a diff driver",
        (
            _path("base", "the policy file that is there, YAML"),
            _path("policy", "the policy file that takes its place"),
            Key("json", "", "true: a list of path, from, to and sentence on stdout", "yes"),
        ),
    ),
    "policy_schema": (
        "writes the JSON schema of policy files, for editors that complete and explain them",
        (
            _path("out", "the file to write", "out"),
            _path("scores", "a scores dataset, whose words are offered as well"),
            _path("catalogue", "a catalogue.json in place of scores"),
        ),
    ),
}
"""Commands that read neither settings nor groups, so that they answer at once (see `at_once`)."""
POLICY_COMMANDS = frozenset({"allocate", "evaluate", "regret", "rehearse", "weekly", "what_if", "seek", "frontier"})
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FLAGS_WITH_VALUE: dict[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"), "-c": ("job", "hydra", "all"), "--info": INFO, "-i": INFO, "--package": (), "-p": ()
}  # fmt: skip
"""What each may be followed by; anything where that is empty."""
PLAIN_FLAGS = frozenset({"--help", "-h", "--version", "--resolve", "--run", "-r", "--multirun", "-m"})
COMPLETION_FLAGS = frozenset({"--shell-completion", "-sc"})  # their words are Hydra's: install=bash, query=bash
OF_HYDRA = "Hydra's own settings name code, folders and the environment, so a call cannot change them"
FOREIGN_FLAGS = ("--config-path", "-cp", "--config-name", "-cn")


def translate(command: str, argv: Sequence[str], conf: Path) -> Call:
    """Splits a command line into Hydra's flags and overrides; problems are collected, not raised."""
    flags, words, problems = _split(argv)
    if COMPLETION_FLAGS & set(flags):
        return Call(tuple(flags), tuple(words), (*problems, *_completion_problems(words)))
    sweep = "--multirun" in flags or "-m" in flags
    translated: list[str] = []
    for word in words:
        try:
            translated.append(_Word(command, word, conf, sweep).translated())
        except _Wrong as wrong:
            problems.append(str(wrong))
    problems += given_twice(words)
    return Call(tuple(flags), tuple(translated), tuple(problems))


def _completion_problems(words: Sequence[str]) -> list[str]:
    """What Hydra's completion would end in a traceback over."""
    if len(words) != 1 or not re.fullmatch(r"(install|uninstall|query)=(bash|fish|zsh)", words[0]):
        return [
            "--shell-completion: needs one of install=SHELL, uninstall=SHELL, query=SHELL; SHELL is bash, fish or zsh"
        ]
    if words[0].startswith("query=") and "COMP_LINE" not in os.environ:
        return [f"--shell-completion {words[0]}: is what a shell calls, with the line so far in COMP_LINE"]
    return []


def _split(argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    flags: list[str] = []
    words: list[str] = []
    problems: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word.split("=")[0] in FOREIGN_FLAGS:
            problems.append(
                f"{word}: the configuration is always config.yaml; choose with --config-dir, groups and overrides"
            )
        elif word.split("=")[0] in FLAGS_WITH_VALUE:
            flag, equals, value = word.partition("=")
            flags += [flag, value if equals else next(rest, "")]
            problems += _flag_problems(*flags[-2:])
        elif word in PLAIN_FLAGS | COMPLETION_FLAGS:
            flags.append(word)
        elif word.startswith("-"):
            problems.append(f"{word}: there is no such flag{did_you_mean(word, [*PLAIN_FLAGS, *FLAGS_WITH_VALUE])}")
        else:
            words.append(word)
    return flags, words, problems + _clashes(flags)


def _clashes(flags: Sequence[str]) -> list[str]:
    """Flags that say no one thing together."""
    told = [f"{flag} {flags[place + 1]}" for place, flag in enumerate(flags) if flag in ("--cfg", "-c", "--info", "-i")]
    told += [flag for flag in flags if flag in ("--multirun", "-m", "--run", "-r")]
    problems = [f"{' '.join(told)}: only one of them at a time"] if len(told) > 1 else []
    if "--resolve" in flags and not {"--cfg", "-c"} & set(flags):
        problems.append("--resolve: goes with --cfg job")
    return problems


def _flag_problems(flag: str, value: str) -> list[str]:
    known = FLAGS_WITH_VALUE[flag]
    if value in known or (value and not known):
        return []
    return [f"{flag} {value}".rstrip() + f": is followed by {', '.join(known) if known else 'a name'}"]


class _Wrong(Exception):
    """One override that cannot be understood; its text is the sentence to print."""


@dataclass(frozen=True)
class _Word:
    """One override of a command line, `key=value`."""

    command: str
    text: str
    conf: Path
    sweep: bool

    def translated(self) -> str:
        key, equals, value = self.text.partition("=")
        if re.split(r"[./@:]", key.lstrip("+~"))[0] == "hydra":
            raise _Wrong(f"{self.text}: {OF_HYDRA}")
        if self.text.startswith("~"):
            return self.text
        plain = key.lstrip("+")
        if not equals or not plain.strip():
            raise _Wrong(f"{self.text}: is not of the form key=value")
        if plain == "set" or plain.startswith("set."):
            return self._of_a_rule(plain, value)
        own = {known.name: known for known in self._keys()}.get(plain)
        if own is not None and not self._chooses_option(plain, value):
            return self._of_a_key(own, value)
        if is_group(self.conf, plain):
            return self._of_a_group(key, plain, value)
        self._check_name(key, plain)
        return self._parsable(self.text)

    def _keys(self) -> tuple[Key, ...]:
        return KEYS[self.command][1]

    def _chooses_option(self, group: str, value: str) -> bool:
        return group != "policy" and all(part in options(self.conf, group) for part in self._parts(value))

    def _parts(self, value: str) -> list[str]:
        """The values of a sweep `a,b`; a file that exists is itself, whatever its name."""
        swept = self.sweep and "," in value and not Path(value).exists()
        return value.split(",") if swept else [value]

    def _of_a_rule(self, key: str, value: str) -> str:
        if self.command not in POLICY_COMMANDS:
            raise _Wrong(f"{self.text}: {self.command} takes no policy, so there is no rule to change")
        levels = len(key.split("."))
        if levels < 2 or (levels == 2 and value != "null"):
            raise _Wrong(f"{self.text}: is not of the form set.ID.FIELD=VALUE")
        if "@" in key:
            raise _Wrong(f"{self.text}: {row_of_a_rule(key)}")
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        from scripts.cli.settings import in_ascii

        key = in_ascii(key)
        word = f"++{key}={value}"
        try:
            if self.sweep or not OverridesParser.create().parse_override(word).is_sweep_override():
                return word
        except HydraException:
            pass  # not a value in Hydra's language, so it is text
        return self._parsable(f"++{key}={quoted(value)}")

    def _of_a_key(self, key: Key, value: str) -> str:
        if key.kind == "value":
            return self._parsable(f"{key.target}={value}")
        if value == "":
            raise _Wrong(f"{self.text}: {'says nothing' if key.kind == 'words' else 'names no path'}")
        parts = self._parts(value)
        if key.name in POLICY_FILES:
            parts = [policy_file(self.conf, part) for part in parts]
        return f"{key.target}=" + ",".join(quoted(part) for part in parts)

    def _of_a_group(self, key: str, group: str, value: str) -> str:
        known = options(self.conf, group)
        if group == "policy":
            raise _Wrong(f"{self.text}: {self.command} takes no policy")
        if value.startswith("glob("):
            if "/" in value or "\\" in value:
                raise _Wrong(f"{self.text}: chooses among the files of conf/{group}/ alone")
        else:  # one, a list of them, or choice(...) of a sweep
            for part in re.findall(r"[^][(),\s'\"]+", value.removeprefix("choice")) or [value]:
                if part not in known:
                    raise _Wrong(f"{self.text}: conf/{group}/ has no {part}.yaml{did_you_mean(part, known)}")
        if group in ("experiment", "debug") and not key.startswith("+"):
            key = f"+{key}"  # these are chosen on top of the others, never instead of a default
        return self._parsable(f"{key}={value}")

    def _check_name(self, key: str, plain: str) -> None:
        from scripts.cli.settings import known_keys

        keys = known_keys()
        if plain in keys or any(plain.startswith(f"{open_key}.") for open_key, is_open in keys.items() if is_open):
            return
        known = [key.name for key in self._keys()] + [key for key in keys if not key.startswith("paths.")]
        raise _Wrong(f"{self.text}: there is no setting '{plain}'{did_you_mean(plain, known)}")

    def _parsable(self, word: str) -> str:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        try:
            OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise _Wrong(f"{self.text}: cannot be read ({first_line(error)}); quote it like 'key=\"value\"'") from None
        except RecursionError:
            raise _Wrong(f"{key_of(self.text)}: nests too deep to be read") from None
        return word


def key_of(word: str) -> str:
    """The key of `key=value`."""
    return word.partition("=")[0].lstrip("+")


def given_twice(words: Sequence[str]) -> list[str]:
    """Keys that a call gives two values, one of which would be lost without a word."""
    values: dict[str, set[str]] = {}
    for word in words:
        values.setdefault(key_of(word), set()).add(word.partition("=")[2])
    return [f"{key}: is given {len(found)} values; give it one" for key, found in values.items() if len(found) > 1]


def row_of_a_rule(key: str) -> str:
    """Why one row of a rule with `each`, like set.books@SE.max, is not changed by itself."""
    rule, _, value = key.removeprefix("set.").partition("@")
    value, dot, field = value.rpartition(".") if "." in value else (value, "", "")
    whole = f"set.{rule}{dot}{field}"
    return (
        f"'{rule}@{value}' is one row of the rule '{rule}'; {whole} changes all its rows, "
        "and a bound for one of them needs a rule of its own"
    )


def quoted(value: str) -> str:
    """A value as it stands, in Hydra's quotes: no lists, no sweeps, no interpolation."""
    value = value.replace("${", "\\${")
    value = re.sub(r"(\\*)'", r"\1\1\\'", value)
    value = re.sub(r"(\\+)$", r"\1\1", value)
    return f"'{value}'"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?`, or the short list of what there is, or nothing."""
    best = process.extractOne(word, list(known), scorer=fuzz.ratio, score_cutoff=60)
    if best is not None:
        return f"; did you mean '{best[0]}'?"
    return f" (there are: {', '.join(known)})" if 0 < len(known) <= 12 else ""


def readable(text: str) -> str:
    """Hydra's words back in the words of the command line, on one line."""
    from scripts.cli.settings import as_spelled

    for _, keys in KEYS.values():
        for key in keys:
            text = text.replace(f"{key.target}=", f"{key.name}=") if key.target.startswith("paths.") else text
    lines = [line.strip() for line in as_spelled(text).replace("++set.", "set.").splitlines() if line.strip()]
    return "; ".join(lines)


def apart(composed: "DictConfig", command: str, number: int, call: Call) -> "DictConfig":
    """The configuration of one run of a sweep: what it writes goes into a folder of its own, DIR/0, DIR/1, ..."""
    from omegaconf import DictConfig, OmegaConf

    apart = DictConfig(OmegaConf.to_container(composed, resolve=False))
    for key in KEYS[command][1]:
        swept = any(word.startswith(f"{key.target}=") and "," in word for word in call.hydra)
        if key.kind == "out" and OmegaConf.select(apart, key.target) is not None and not swept:
            OmegaConf.update(apart, key.target, str(Path(str(OmegaConf.select(apart, key.target))) / str(number)))
    if command == "weekly":
        name = OmegaConf.select(apart, "weekly.run") or "sweep"
        OmegaConf.update(apart, "weekly.run", f"{name}-{number}")
        if not any(word.startswith("weekly.publish=") for word in call.hydra):
            OmegaConf.update(
                apart, "weekly.publish", False
            )  # a sweep compares; which of its runs to publish is for people to say
    return apart


def help_text(command: str, conf: Path) -> str:
    """What `--help` prints."""
    what, keys = KEYS[command]
    width = max(len(key.name) for key in keys)
    lines = [
        f"{called(command)} key=value ...",
        "",
        f"{what[0].upper()}{what[1:]}.",
        "",
        "Keys:",
        *(f"  {key.name.ljust(width)}  {key.meaning}" for key in keys),
    ]
    if command in POLICY_COMMANDS:
        lines += [
            "",
            "One field of one rule of the policy: set.ID.FIELD=VALUE, like set.push_capacity.max=5%; without a rule: set.ID=null",
        ]
    lines += [
        "",
        "Groups of settings (conf/GROUP/OPTION.yaml), chosen as GROUP=OPTION, +experiment=OPTION, +debug=OPTION:",
    ]
    lines += [f"  {group}: {', '.join(options(conf, group))}" for group in groups(conf) if options(conf, group)]
    lines += [
        "",
        "Any setting by its path, like fit.max_epochs=5; `--cfg job` prints them all.",
        "--config-dir DIR: a folder of your own settings, options and policies, which stand before these.",
        "Several values and --multirun run the command once for each: set.push_capacity.max=5%,10% --multirun",
        IN_WORDS,
    ]
    return "\n".join(lines).replace("python -m scripts.", called(""))
