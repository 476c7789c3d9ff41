"""Why contacts in some scope are not more: how many listeners get one, could not, are kept away by a rule, or get something better.

Axes: U users of the sample, A actions, P planes, R rows, S user classes, N users without a contact, K contacts of a slate.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from allocator.solve.usage import contributions
from allocator.users import FREE, HOLDOUT, NONE
from allocator.workbench.priced import SampledPolicy

SLOT = "slot"


@dataclass(frozen=True)
class Whereabouts:
    """Listeners by what keeps them from a contact in the scope; the counts after `users` add up to it.

    priced_out: constraint (by place) -> listeners whose best offer in scope is worth less than what it uses of that bound and others.
    beaten: (action that they get instead, contact rule or `slot`) -> listeners.
    """

    users: float
    get: float
    held_out: float
    explore: float
    ineligible: float
    worthless: float
    priced_out: dict[int, float]
    beaten: dict[tuple[int, str], float]


def whereabouts(found: SampledPolicy, scope_A: np.ndarray, member_S: np.ndarray) -> Whereabouts:
    """scope_A: bool, the actions asked about. member_S: bool, the classes of the listeners asked about."""
    data, problem, weight_U = found.data, found.problem, found.sample.weight_U
    left_U = member_S[data.class_U]

    def count(who_U: np.ndarray) -> float:
        nonlocal left_U
        taken_U = who_U & left_U
        left_U = left_U & ~taken_U
        return float(weight_U[taken_U].sum())

    users = float(weight_U[left_U].sum())
    get = count(((found.slate_UK != NONE) & scope_A[found.slate_UK]).any(axis=1))
    held_out, explore = count(data.group_U == HOLDOUT), count(data.group_U != FREE)
    possible_UA = data.eligible_UA & scope_A
    ineligible = count(~possible_UA.any(axis=1))
    user_N = np.flatnonzero(left_U)
    value_NA = np.where(possible_UA[user_N], problem.worth_of_all(data.planes_UPA[user_N].astype(float)), -np.inf)
    worthless_U = np.zeros(len(left_U), bool)
    worthless_U[user_N] = ~(value_NA > 0).any(axis=1)
    worthless = count(worthless_U)
    kept_N = left_U[user_N]
    priced_out, beaten = _others(found, user_N[kept_N], value_NA[kept_N])
    return Whereabouts(users, get, held_out, explore, ineligible, worthless, priced_out, beaten)


def _others(
    found: SampledPolicy, user_N: np.ndarray, value_NA: np.ndarray
) -> tuple[dict[int, float], dict[tuple[int, str], float]]:
    """By the bound that costs most, and by what they get instead, of listeners with an offer that is worth something."""
    data, problem, weight_U = found.data, found.problem, found.sample.weight_U
    rows = problem.rows
    const_SA, plane_SPA = problem.net_tables(found.price_R)
    class_N = data.class_U[user_N]
    planes_NPA = data.planes_UPA[user_N].astype(float)
    net_NA = const_SA[class_N] + np.einsum("npa,npa->na", planes_NPA, plane_SPA[class_N])
    best_N = np.where(np.isfinite(value_NA), net_NA, -np.inf).argmax(axis=1) if len(user_N) else np.empty(0, np.int64)
    at_N = np.arange(len(user_N))
    used_NR = contributions(rows, class_N, best_N, planes_NPA[at_N, :, best_N])
    charged_NR = used_NR * found.price_R
    priced_out: dict[int, float] = defaultdict(float)
    beaten: dict[tuple[int, str], float] = defaultdict(float)
    for n in range(len(user_N)):
        weight = float(weight_U[user_N[n]])
        rival = _rival(found, int(user_N[n]), int(best_N[n]), net_NA[n]) if net_NA[n, best_N[n]] > 0 else None
        if rival is not None:
            beaten[rival] += weight
        elif len(rows) and charged_NR[n].max() > 0:
            priced_out[int(rows.constraint_R[charged_NR[n].argmax()])] += weight
        else:
            beaten[NONE, SLOT] += weight
    return dict(priced_out), dict(beaten)


def _rival(found: SampledPolicy, user: int, action: int, net_A: np.ndarray) -> tuple[int, str] | None:
    """The least of the contacts that stand in an action's way, and the rule by which it does; None where none does."""
    contact = found.problem.contact
    slate = [int(each) for each in found.slate_UK[user] if each != NONE]
    in_slot = [each for each in slate if contact.slot_A[each] == contact.slot_A[action]]
    if in_slot:
        return in_slot[0], SLOT
    base_C = contact.base(found.data.received_UC[[user]], found.data.class_U[[user]])[0]
    for cap in np.flatnonzero(contact.member_CA[:, action]):
        members = [each for each in slate if contact.member_CA[cap, each]]
        if members and len(members) + base_C[cap] >= contact.capacity_C[cap]:
            return min(members, key=lambda each: net_A[each]), contact.names[cap]
    return None
