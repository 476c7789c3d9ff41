"""The dual evaluation in torch, for GPUs: the same slates, margins and sums as `dual`, shard by shard on a device.

Users whose caps greedy cannot keep (see `slates`) are few; they go back to the compiled kernel on the CPU, so every slate stays exact.
Sums are matrix products with the users' classes, which add up in a fixed order on one kind of device; between devices they may
differ in the last bits. This is the one place of the allocator that knows torch, and it decides prices, never what is allowed.

Axes: U users, P planes, A actions, L slots, C contact caps, D caps of one action, K contacts of a slate, S user classes.
"""

from dataclasses import dataclass

import numpy as np
import torch

from allocator.solve.slates import Rules
from allocator.users import FREE, NONE
from ranker.files import InputError

FAR = float("inf")


@dataclass(frozen=True)
class DeviceRules:
    """The contact rules on the device. member_CA, covers_CL: float64 0/1, so that caps are counted by products."""

    slot_A: torch.Tensor
    in_slot_LA: torch.Tensor
    member_CA: torch.Tensor
    covers_CL: torch.Tensor
    capacity_C: torch.Tensor
    easy_C: torch.Tensor
    most: int


@dataclass(frozen=True)
class DevicePart:
    """What the evaluation of one shard found. hard_U: users whom greedy cannot decide; their other entries mean nothing."""

    slate_UK: np.ndarray
    margin_U: np.ndarray
    dual_S: np.ndarray
    count_SA: np.ndarray
    sum_SPA: np.ndarray
    hard_U: np.ndarray


def check(device: str) -> None:
    """InputError where this machine does not have the device."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise InputError([f"solve.device: {device}: is not to be had on this machine ({told})"]) from None


def rules_on(rules: Rules, device: str) -> DeviceRules:
    """Copies the compiled rules to a device such as `cuda`."""
    actions, caps = len(rules.slot_A), len(rules.capacity_C)
    member_CA = np.zeros((caps, actions))
    for action, mine in enumerate(rules.cap_AD):
        member_CA[mine[mine != NONE], action] = 1.0
    in_slot_LA = rules.slot_A == np.arange(rules.slots)[:, None]
    covers_CL = np.array([[member[slot].any() for slot in in_slot_LA] for member in member_CA], float).reshape(
        caps, rules.slots
    )

    def put(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, device=device)

    return DeviceRules(
        put(rules.slot_A), put(in_slot_LA), put(member_CA), put(covers_CL), put(rules.capacity_C.astype(float)),
        put(rules.easy_C), rules.most,
    )  # fmt: skip


@torch.inference_mode()
def evaluate_part(
    rules: DeviceRules,
    planes_UPA: np.ndarray,
    eligible_UA: np.ndarray,
    class_U: np.ndarray,
    group_U: np.ndarray,
    received_UC: np.ndarray,
    free_SC: np.ndarray,
    const_SA: np.ndarray,
    plane_SPA: np.ndarray,
) -> DevicePart:
    """One shard at the prices that the tables were made from; received_UC: as in the data, [U, 0] for nothing. free_SC: caps that do not
    bind a class, as in the rules."""
    device = rules.slot_A.device
    planes = torch.as_tensor(np.ascontiguousarray(planes_UPA), device=device)
    klass = torch.as_tensor(class_U, device=device).long()
    free_U = torch.as_tensor(group_U == FREE, device=device)
    allowed_UA = torch.as_tensor(np.ascontiguousarray(eligible_UA), device=device) & free_U[:, None]
    # net = const + sum over planes of plane * X, in float64; -inf where not allowed
    net_UA = torch.as_tensor(const_SA, device=device)[klass]
    plane_table = torch.as_tensor(plane_SPA, device=device)
    for p in range(planes.shape[1]):
        net_UA = net_UA + plane_table[klass, p] * planes[:, p]
    net_UA = torch.where(allowed_UA, net_UA, -FAR)
    room_UC = rules.capacity_C.expand(len(net_UA), -1)
    if received_UC.shape[1]:
        room_UC = room_UC - torch.as_tensor(received_UC.astype(np.float64), device=device)
    if len(free_SC):
        room_UC = torch.where(torch.as_tensor(free_SC, device=device)[klass], FAR, room_UC)
    slate_UK, chosen_UA = _greedy(rules, net_UA, room_UC)
    left_UC = room_UC - chosen_UA.double() @ rules.member_CA.T
    hard_U = (left_UC < 0).any(dim=1)
    margin_U = torch.where(free_U, _margins(rules, net_UA, slate_UK, chosen_UA, left_UC), FAR)
    # sums by class: one-hot(class)' @ what each user's slate adds
    easy_U = (~hard_U).double()
    one_hot_US = torch.nn.functional.one_hot(klass, const_SA.shape[0]).double() * easy_U[:, None]
    taken_UA = chosen_UA.double()
    value_U = torch.where(chosen_UA, net_UA, 0.0).sum(dim=1)
    sums = [one_hot_US.T @ (taken_UA * planes[:, p]) for p in range(planes.shape[1])]
    return DevicePart(
        slate_UK=slate_UK.to(torch.int16).cpu().numpy(),
        margin_U=margin_U.float().cpu().numpy(),
        dual_S=(one_hot_US.T @ value_U).cpu().numpy(),
        count_SA=(one_hot_US.T @ taken_UA).cpu().numpy(),
        sum_SPA=torch.stack(sums, dim=1).cpu().numpy() if sums else np.zeros_like(plane_SPA),
        hard_U=hard_U.cpu().numpy(),
    )


def _greedy(rules: DeviceRules, net_UA: torch.Tensor, room_UC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slots' best actions in falling order, as far as the easy caps have room: (slate [U, K], chosen [U, A])."""
    users = len(net_UA)
    tops = [torch.where(inside, net_UA, -FAR).max(dim=1) for inside in rules.in_slot_LA]
    top_UL, action_UL = torch.stack([t.values for t in tops], 1), torch.stack([t.indices for t in tops], 1)
    top_UL, order_UL = top_UL.sort(dim=1, descending=True, stable=True)
    slate_UK = torch.full((users, rules.most), NONE, device=net_UA.device)
    chosen_UA = torch.zeros_like(net_UA, dtype=torch.bool)
    used_UC = torch.zeros((users, len(rules.capacity_C)), dtype=torch.float64, device=net_UA.device)
    count_U = torch.zeros(users, dtype=torch.long, device=net_UA.device)
    person_U = torch.arange(users, device=net_UA.device)
    covers_CL = rules.covers_CL * rules.easy_C[:, None]
    for j in range(top_UL.shape[1]):
        slot_U = order_UL[:, j]
        action_U = action_UL.gather(1, slot_U[:, None])[:, 0]
        in_caps_UC = covers_CL.T[slot_U]
        fits_U = (used_UC + in_caps_UC <= room_UC).logical_or(in_caps_UC == 0).all(dim=1)
        take_U = (top_UL[:, j] > 0) & fits_U & (count_U < rules.most)
        who = person_U[take_U]
        slate_UK[who, count_U[who]] = action_U[who]
        chosen_UA[who, action_U[who]] = True
        used_UC += in_caps_UC * take_U[:, None]
        count_U += take_U
    return slate_UK, chosen_UA


def _margins(
    rules: DeviceRules, net_UA: torch.Tensor, slate_UK: torch.Tensor, chosen_UA: torch.Tensor, left_UC: torch.Tensor
) -> torch.Tensor:
    """[U]: what the cheapest single exchange of each slate loses (`dual.slate_margin`). left_UC: how many more each cap takes."""
    count_U = chosen_UA.sum(dim=1)
    margin_U = torch.where(chosen_UA, net_UA, FAR).min(dim=1).values
    outside_UA = ~chosen_UA & torch.isfinite(net_UA)
    filled_UL = chosen_UA.double() @ rules.in_slot_LA.double().T
    filled_UA = filled_UL[:, rules.slot_A] > 0
    short_UA = (left_UC < 0.5).double() @ rules.member_CA  # caps of the action that are full
    addable_UA = outside_UA & ~filled_UA & (short_UA < 0.5) & (count_U < rules.most)[:, None]
    margin_U = torch.minimum(margin_U, torch.where(addable_UA, -net_UA, FAR).min(dim=1).values)
    for k in range(slate_UK.shape[1]):
        action_U = slate_UK[:, k].clamp(min=0)
        there_U = slate_UK[:, k] != NONE
        freed_UC = rules.member_CA.T[action_U]
        short_UA = ((left_UC + freed_UC) < 0.5).double() @ rules.member_CA
        same_slot_UA = rules.slot_A[action_U][:, None] == rules.slot_A
        fits_UA = outside_UA & (same_slot_UA | ~filled_UA) & (short_UA < 0.5) & there_U[:, None]
        loss_UA = net_UA.gather(1, action_U[:, None]) - net_UA
        margin_U = torch.minimum(margin_U, torch.where(fits_UA, loss_UA, FAR).min(dim=1).values)
    return margin_U
