"""What an engineer may tune about solving; the defaults serve from ten users to millions."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SolveSettings(BaseModel):
    """How to solve. All amounts are relative to the value of the allocation unless a unit is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["auto", "exact", "prices"] = "auto"
    """`exact`: the whole problem as one integer programme. `prices`: price, fix, core. `auto`: exact where it is small."""
    exact_cells: Annotated[int, Field(ge=0)] = 1_000
    """`auto` takes the exact path up to this many eligible user-action pairs, and prices too where it does not come to an end."""
    most_cells: Annotated[int, Field(gt=0)] = 200_000
    """The exact path refuses more eligible user-action pairs than this."""
    gap: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Stop once the certified gap is at most this."""
    sample_users: Annotated[int, Field(ge=100)] = 5_000
    """Users of the first, stratified sample on which prices are found."""
    most_passes: Annotated[int, Field(ge=1)] = 60
    """At most so many dual evaluations on each sample and on all users."""
    core_users: Annotated[int, Field(ge=50)] = 2_000
    """Users of the first core; it grows until every hard constraint holds and the gap is closed."""
    core_slates: Annotated[int, Field(ge=2, le=1_000)] = 40
    """At most so many slates of one user enter the core."""
    nodes: Annotated[int, Field(ge=1)] = 1_000
    """At most so many nodes of an integer programme over all core users, a tenth of it over the nearest: a limit that does not depend on
    the machine's speed."""
    seconds: Annotated[float, Field(gt=0)] = 600.0
    """Time limit of each call of a solver, a last resort: where it strikes, another machine may find other rows."""
    memory_gib: Annotated[float, Field(gt=0)] = 4.0
    """What the allocator needs of the scores stays in memory up to this size; beyond it, it is mapped from a file beside the output."""
    price_ranges: bool = True
    """Whether to find out how far each price holds, by solving again at other bounds; left out above 2,000,000 users."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Where dual evaluations run: `cpu`, or a GPU as torch names it."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the dual evaluations; 0: one per core. The result is the same for any number."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Which users the samples hold."""
