"""Why a product, or any offers that a filter names, gets so few contacts: what keeps listeners from them, counted on a sample.

Axes: A actions, S user classes.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from allocator.policy.words import Filter, filter_words
from allocator.scopes import chosen
from allocator.workbench.answers import Cause, ProductExplanation
from allocator.workbench.priced import SampledPolicy
from allocator.workbench.reasons import SLOT, Whereabouts, whereabouts
from allocator.workbench.sentences import in_words
from ranker.files import InputError


def explain_offers(found: SampledPolicy, where: Filter, users: Filter | None = None) -> ProductExplanation:
    """Why offers in a filter reach so few of some listeners, all by default. Raises InputError where the filter names none."""
    problem = found.problem
    scope_A = chosen(where, problem.catalogue)
    if not scope_A.any():
        raise InputError([f"where: {filter_words(where)} matches no action of the catalogue"])
    member_S = np.ones(len(problem.classes), bool) if users is None else problem.classes.members(users)
    known = whereabouts(found, scope_A, member_S)
    return ProductExplanation(
        where=filter_words(where),
        users=known.users,
        get=known.get,
        causes=tuple(sorted(_causes(known, found), key=lambda cause: -cause.users)),
        sentence=in_words(known, found),
        sample=len(found.sample),
    )


def _causes(known: Whereabouts, found: SampledPolicy) -> Iterator[Cause]:
    """Every cause that keeps anybody away."""
    plain = (
        ("ineligible", known.ineligible), ("worthless", known.worthless), ("held_out", known.held_out),
        ("explores", known.explore),
    )  # fmt: skip
    for name, users in plain:
        if users:
            yield Cause(cause=name, rule=None, instead=None, users=users)
    for place, users in known.priced_out.items():
        yield Cause(cause="priced_out", rule=found.problem.measured[place].rule.id, instead=None, users=users)
    actions = found.problem.catalogue.actions
    instead: dict[tuple[str | None, str | None], float] = defaultdict(float)
    for (action, rule), users in known.beaten.items():
        product = str(actions[action].get("product", actions[action]["id"])) if action >= 0 else None
        instead[None if rule == SLOT else rule, product] += users
    for (by, product), users in instead.items():
        yield Cause(cause="beaten", rule=by, instead=product, users=users)
