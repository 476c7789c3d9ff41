"""Where configuration lies: what offermix ships, and a company's own folder that stands before it (`--config-dir`)."""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from ranker.files import InputError

CONF = Path(__file__).resolve().parents[2] / "conf"
"""Beside the packages: in a checkout, and in the package that is installed."""
CONFIG = "config.yaml"
FLAGS = ("--config-dir", "-cd")
INSTALLED = __name__.startswith("offermix.")
_own: ContextVar[Path | None] = ContextVar("own_configuration", default=None)


def own() -> Path | None:
    """The company's folder of what runs now; None where what is shipped is all."""
    return _own.get()


@contextlib.contextmanager
def before_it(folder: Path | None) -> Iterator[None]:
    """Within it, what the folder holds stands before what is shipped."""
    token = _own.set(folder)
    try:
        yield
    finally:
        _own.reset(token)


def named_in(argv: Sequence[str]) -> tuple[list[str], Path | None]:
    """The other words of a command line, and the folder that it names; InputError where that is none."""
    words, folders, rest = list[str](), list[str](), iter(argv)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in FLAGS:
            words.append(word)
        else:
            folders.append(value if equals else next(rest, ""))
    if len(folders) > 1:
        raise InputError([f"--config-dir: names {len(folders)} folders; one is taken"])
    if folders and not Path(folders[0] or "/nowhere").is_dir():
        raise InputError([f"--config-dir={folders[0]}: there is no such folder"])
    return words, Path(folders[0]) if folders else None


def options(conf: Path, group: str) -> list[str]:
    """The options of a group: the names of the files in conf/GROUP/, and in the company's folder."""
    return sorted({file.stem for folder in _folders(conf) for file in (folder / group).glob("*.yaml")})


def is_group(conf: Path, name: str) -> bool:
    return (conf / name).is_dir()


def groups(conf: Path) -> list[str]:
    return sorted(folder.name for folder in conf.iterdir() if folder.is_dir())


def policy_file(conf: Path, value: str) -> str:
    """A policy of the company's policy/ or of conf/policy/ by its name alone, or a path as it is."""
    try:
        return value if Path(value).exists() else by_name(conf, value)
    except OSError:  # no name of a file at all; whoever opens it says so
        return value


def by_name(conf: Path, value: str) -> str:
    """The same for a value of the configuration, where a name is a name, whatever lies here."""
    places = [] if "/" in value else [folder / "policy" / f"{value}.yaml" for folder in _folders(conf)]
    return next((str(shown(place)) for place in places if place.is_file()), value)


def shipped_policy() -> Path:
    """The policy that a week takes unless another one is configured."""
    return Path(by_name(CONF, "default"))


def own_policies() -> Path:
    """Where new policies go: the company's policy/, or conf/policy below here."""
    folder = own()
    return Path("conf/policy") if folder is None else folder / "policy"


def shown(path: Path) -> Path:
    """The path from here, where it is below; as it is otherwise."""
    try:
        return path.relative_to(Path.cwd()) if path.is_absolute() else path
    except (ValueError, OSError):
        return path


def called(command: str) -> str:
    """How a person calls a command."""
    return f"offermix {command}" if INSTALLED else f"python -m scripts.{command}"


def _folders(conf: Path) -> list[Path]:
    folder = own()
    return [conf] if folder is None else [folder, conf]
