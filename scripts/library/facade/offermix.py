"""offermix for notebooks and programs: prepare, train, score, allocate and evaluate, on frames or paths.

Names are loaded when they are first used, so that importing this takes no time and brings in neither torch nor OR-Tools. How to use them
is in scripts/library/README.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allocator.infeasible.diagnosis import Infeasible
    from ranker.files import InputError
    from scripts.library.results import (
        AllocatedContacts,
        EvaluatedModel,
        HowFar,
        PreparedLogs,
        ScoredUsers,
        TrainedModel,
    )
    from scripts.library.verbs import allocate, evaluate, prepare, score, train

__all__ = [
    "AllocatedContacts",
    "EvaluatedModel",
    "HowFar",
    "Infeasible",
    "InputError",
    "PreparedLogs",
    "ScoredUsers",
    "TrainedModel",
    "allocate",
    "evaluate",
    "prepare",
    "score",
    "train",
]
_HOMES = {"Infeasible": "allocator.infeasible.diagnosis", "InputError": "ranker.files"}
_VERBS = ("allocate", "evaluate", "prepare", "score", "train")


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("scripts.runs.digests").package_version()
    if name not in __all__:
        raise AttributeError(f"module 'offermix' has no attribute {name!r}")
    home = _HOMES.get(name, "scripts.library.verbs" if name in _VERBS else "scripts.library.results")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def main() -> None:
    """The console command `offermix`."""
    import_module("scripts.library.command").main()


if __name__ == "__main__":
    main()
