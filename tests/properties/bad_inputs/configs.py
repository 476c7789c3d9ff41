"""Settings and words of a call with something wrong in them, and paths that lead nowhere."""

import os
from pathlib import Path

from tests.properties.bad_inputs.case import Bad, Spoil, nothing

TRAIN = ("train", "logs=logs", "model=made")


def _word(name: str, word: str, *told: str) -> Bad:
    return Bad("configs", name, nothing, (*TRAIN, *word.split("|")), told)


def _path(name: str, spoil: Spoil, call: tuple[str, ...], *told: str, status: int = 2) -> Bad:
    return Bad("paths", name, spoil, call, told, status)


def _made(path: str, content: str | None = None) -> Spoil:
    """A file of this content, or a folder."""

    def spoil(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).mkdir() if content is None else (folder / path).write_text(content)

    return spoil


CONFIGS = [
    _word(
        "unknown key", "fit.learning_rte=1", "there is no setting 'fit.learning_rte'; did you mean 'fit.learning_rate'?"
    ),
    _word("unknown key of the command", "log=x", "there is no setting 'log'; did you mean 'logs'?"),
    _word("unknown key added", "+model.colour=blue", "there is no setting 'model.colour'"),
    _word("unknown group", "experiments=large", "there is no setting 'experiments'"),
    _word("unknown option", "fit=slow", "conf/fit/ has no slow.yaml"),
    _word("option of nothing", "fit=null", "conf/fit/ has no null.yaml"),
    _word("no value for a group", "fit=", "conf/fit/ has no .yaml"),
    _word("wrong type", "fit.max_epochs=many", "fit.max_epochs: is 'many'"),
    _word("a list for a number", "fit.max_epochs=[1,2]", "fit.max_epochs: is [1, 2]"),
    _word("a mapping for a number", "fit.max_epochs={a: 1}", "fit.max_epochs: is {'a': 1}"),
    _word("a fraction for a count", "fit.max_epochs=1.5", "fit.max_epochs: is 1.5"),
    _word("wrong choice", "fit.accelerator=abacus", "fit.accelerator: is 'abacus'"),
    _word("wrong choice of readout", "readout.groups=both", "readout.groups: is 'both'"),
    _word("neither true nor false", "tracking.enabled=maybe", "tracking.enabled: is 'maybe'"),
    _word("nothing for a number", "seed=null", "seed: is None"),
    _word("a seed below 0", "seed=-1", "seed: is -1"),
    _word("a seed beyond 32 bits", "seed=4294967296", "seed: is 4294967296"),
    _word("a seed that is no number", "seed=nan", "seed: is nan"),
    _word("a seed of text", "seed=''", "seed: is ''"),
    _word("no threads", "fit.threads=0", "fit.threads: is 0"),
    _word("threads below 0", "solve.threads=-2", "solve.threads"),
    _word("one member", "model.members=1", "model.members: is 1"),
    _word("a gap below 0", "publish.max_gap=-1", "publish.max_gap: is -1"),
    _word("a share above 1", "publish.max_churn=2", "publish.max_churn: is 2"),
    _word("an override without a reason", "publish.override=Kim", "publish.reason"),
    _word("a name too long", f"tracking.experiment={'x' * 251}", "tracking.experiment: is 'xxx"),
    _word("an empty name", "tracking.experiment=''", "tracking.experiment: is ''"),
    _word("a secret", "tracking.experiment=${oc.env:HOME}", "${oc.env:HOME} is not available"),
    _word("a resolver that is none", "tracking.experiment=${file:/etc/hostname}", "configuration: ", "file"),
    _word("a value of itself", "seed=${seed}", "configuration: "),
    _word("a value of nobody", "seed=${seeds}", "configuration: ", "seeds"),
    _word("given twice", "seed=1|seed=2", "seed: is given 2 values; give it one"),
    _word("no key", "=1", "is not of the form key=value"),
    _word("no value", "nonsense", "is not of the form key=value"),
    _word("nothing at all", "", "is not of the form key=value"),
    _word("a path of nothing", "catalogue=", "there is no setting 'catalogue'"),
    _word("a line break", "tracking.experiment=a\nb", "tracking.experiment=a"),
    _word("a null byte", "tracking.experiment=a\0b", "tracking.experiment=a"),
    _word("letters of another alphabet", "\u0441eed=1", "there is no setting '\u0441eed'; did you mean"),
    _word("a bracket open", "seed=[1", "seed=[1: cannot be read"),
    _word("too many brackets", "seed=" + "[" * 600 + "]" * 600, "seed: nests too deep"),
    _word("a rule where there is no policy", "set.push.max=3", "train takes no policy"),
    _word("a policy where there is none", "policy=default", "train takes no policy"),
    _word("a class", "+model._target_=os.system", "there is no setting 'model._target_'"),
    _word("Hydra's settings", "hydra.run.dir=x", "Hydra's own settings"),
    _word("a file outside conf", "+experiment=[../../x]", "conf/experiment/ has no ../../x.yaml"),
    _word("a flag that is none", "--fast", "--fast: there is no such flag"),
    _word("two flags", "--cfg|job|-m", "--cfg job -m: only one of them at a time"),
    _word("a flag's word", "--cfg|jobs", "--cfg jobs: is followed by job, hydra, all"),
    _word("a sweep of nothing", "-m|seed=choice()", "seed=choice(): cannot be read"),
    _word("a sweep with an option that is none", "-m|fit=fast,slow", "conf/fit/ has no slow.yaml"),
]

PATHS = [
    _path("everything missing", nothing, ("allocate",), "scores: is missing", "policy: is missing", "out: is missing"),
    _path("logs that are not there", nothing, ("train", "logs=none", "model=made"), "none"),
    _path("logs that are a device", nothing, ("train", "logs=/dev/zero", "model=made"), "/dev/zero"),
    _path("logs that are a file", nothing, ("train", "logs=policy.yaml", "model=made"), "policy.yaml"),
    _path(
        "scores that are a pipe",
        lambda f: os.mkfifo(f / "p"),
        ("allocate", "scores=p", "policy=policy.yaml", "out=made"),
        "p: ",
    ),
    _path(
        "a policy of a device", nothing, ("allocate", "scores=scores", "policy=/dev/zero", "out=made"), "/dev/zero: "
    ),
    _path(
        "a name too long", nothing, ("allocate", f"scores={'x' * 300}", "policy=policy.yaml", "out=made"), "too long"
    ),
    _path(
        "a folder below a file",
        nothing,
        ("allocate", "scores=scores", "policy=policy.yaml", "out=policy.yaml/x"),
        "policy.yaml",
    ),
    _path(
        "an out that holds something else",
        _made("kept/notes.txt", "mine"),
        ("prepare", "tables=tables", "logs=kept"),
        "kept",
    ),
    _path("an out that is a file", _made("kept", "mine"), ("prepare", "tables=tables", "logs=kept"), "kept"),
    _path("an out that is an input", nothing, ("prepare", "tables=tables", "logs=tables"), "tables"),
    _path("a market of no users", nothing, ("make_market", "users=0", "out=made"), "data.users: is 0"),
    _path("a market of users below 0", nothing, ("make_market", "users=-5", "out=made"), "data.users: is -5"),
    _path("a market of words", nothing, ("make_market", "users=all", "out=made"), "data.users: is 'all'"),
    _path("a model that is not there", nothing, ("score", "model=./none", "users=users", "scores=made"), "none"),
    _path("a model that is empty", _made("empty"), ("score", "model=./empty", "users=users", "scores=made"), "empty"),
    _path("a run name with a slash", nothing, ("weekly", "run=../x", "runs=made"), "run: is '../x'"),
    _path("a week of no tables", nothing, ("weekly", "tables=none", "runs=made"), "none"),
    _path("an experiment plan of nobody", nothing, ("plan_experiment", "logs=logs", "users=0"), "plan.users: is 0"),
    _path("an effect in words", nothing, ("plan_experiment", "logs=logs", "effect=large"), "plan.effect: is 'large'"),
    _path("a port that is none", nothing, ("console", "port=99999999"), "console.port: is 99999999"),
]
