"""Small finished runs to open: random scores, a policy with comments, and its allocation."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig

from ranker.catalogue import CATALOGUE_FILE
from ranker.files import read_json_object
from scripts import allocate
from scripts.cli.entry import validated
from scripts.cli.settings import AllocatePaths, AllocateSettings, ConsoleSettings, Settings
from scripts.runs import stage
from tests.allocator.instances import PRODUCTS, write_scores

USERS = 400
POLICY = """# The policy of the tests
version: 1
objective:
  - {metric: revenue, weight: 1.0}
  - {metric: subs, weight: 12.0}     # dear
  - {metric: opt_out, weight: -25.0}
experiment:
  holdout: {share: 2%, salt: h}
contact:
  - {id: total, max: 2}
  - {id: once_each, max: 1, each: product}
constraints:
  - id: push_cap
    label: Push messages
    kind: volume
    where: {surface: push}
    max: 20%                         # of all
  - {id: books, label: Books in the North, kind: volume, where: {product: books}, users: {market: [SE, NO]}, min: 10%}
  - {id: budget, kind: total, metric: subs, times: discount_eur, max: 90}
"""


def console_settings(composed: Callable[..., DictConfig], folder: Path, **console: object) -> ConsoleSettings:
    """Those of a console over `folder/runs`, whose policies are saved in `folder/policies`."""
    base = validated(Settings, composed())
    solve = base.solve.model_copy(update={"gap": 1e-3, "nodes": 200, "price_ranges": False})
    publish = base.publish.model_copy(update={"max_gap": 1e-2})
    options = base.console.model_copy(update={"policies": folder / "policies", **console})
    paths = base.paths.model_copy(update={"runs": folder / "runs"})
    held = {name: getattr(base, name) for name in Settings.model_fields}
    held |= {"paths": paths, "solve": solve, "publish": publish, "console": options}
    return ConsoleSettings.model_construct(**held)


def write_week(
    settings: Settings,
    name: str,
    *,
    policy: str = POLICY,
    users: int = USERS,
    seed: int = 1,
    previous: Path | None = None,
    day: str | None = None,
    products: Sequence[tuple[str, str, float]] = PRODUCTS,
) -> Path:
    """A run with scores and an allocation. day: of its scores, where another than that of most tests."""
    run = settings.paths.runs / name
    with stage.write(run / "scores", "score") as made:
        write_scores(made, users, seed, stderr=True, products=products)
        if day is not None:
            words = read_json_object(made / CATALOGUE_FILE)
            (made / CATALOGUE_FILE).write_text(json.dumps({**words, "as_of": day}))
    file = settings.paths.runs.parent / f"{name}.yaml"
    file.write_text(policy)
    paths = AllocatePaths(scores=run / "scores", policy=file, out=run / "allocation", previous=previous)
    held = {each: getattr(settings, each) for each in Settings.model_fields} | {"paths": paths}
    allocate.run(AllocateSettings.model_construct(**held))
    return run
