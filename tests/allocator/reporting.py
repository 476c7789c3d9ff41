"""A small coherent run on disk for the tests of the report: scores, allocation, certificate, audit and evaluation that agree."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from allocator.report.collect import Sources
from ranker.catalogue import Catalogue, Metric
from ranker.scores import ScoresWriter

SURFACES = ("home", "search", "push", "email", "plan_picker", "checkout")
PRODUCTS = ("premium_individual", "premium_duo", "premium_family", "premium_student", "audiobooks", "tickets")
MESSAGES = ("trial", "savings", "features")
METRICS = (
    Metric("subs", "subscribers"),
    Metric("mau", "active users"),
    Metric("revenue", "EUR"),
    Metric("opt_out", "opt-outs"),
)
OBJECTIVE = [
    {"metric": "revenue", "weight": 1.0, "times": None},
    {"metric": "subs", "weight": 12.0, "times": None},
    {"metric": "opt_out", "weight": -25.0, "times": None},
]


@dataclass(frozen=True)
class Run:
    """The directories of a run and the numbers that its page must show."""

    sources: Sources
    user_ids: tuple[str, ...]
    value_U: np.ndarray
    chosen: tuple[tuple[int, int], ...]

    def certificate(self) -> dict:
        return json.loads((self.sources.allocation / "certificate.json").read_text())

    def edit_certificate(self, **changes: object) -> None:
        path = self.sources.allocation / "certificate.json"
        path.write_text(json.dumps(self.certificate() | changes))


def constraint(**changes: object) -> dict:
    """A volume at its limit, as a certificate holds it."""
    return {
        "id": "push_capacity",
        "kind": "volume",
        "label": "Push capacity",
        "owner": "Messaging",
        "reason": "Send window",
        "unit": "contacts",
        "strength": "hard",
        "min": None,
        "max": 400_000.0,
        "achieved": 400_000.0,
        "slack": 0.0,
        "binding": "max",
        "price": 0.19,
        "multiplier": 0.19,
        "numerator": 400_000.0,
        "denominator": None,
    } | changes


def every_constraint() -> list[dict]:
    """One of every kind, binding side and strength."""
    share = {"kind": "share", "unit": "share", "numerator": 5500.0, "denominator": 10_000.0}
    return [
        constraint(),
        constraint(
            id="books_goal", label="Audiobooks in SE and NO", owner="Books", reason="Launch goal", min=5000.0, max=None,
            achieved=5000.0, binding="min", price=0.031,
        ),
        constraint(
            id="discount_budget", label="Discount budget", owner="Finance", reason="Quarter plan", kind="total", unit="EUR",
            max=250_000.0, achieved=249_998.74, slack=1.26, price=0.4321,
        ),
        constraint(
            id="plan_share", label="Share of plans on discovery", owner="Plans", reason="Mix agreed in Q3", min=0.55, max=0.75,
            achieved=0.55, binding="min", price=182_000.0, **share,
        ),
        constraint(
            id="opt_out_rate", label="Opt-out rate", owner="CRM", kind="average", unit="opt-outs per contact", max=0.002,
            achieved=0.00143, slack=0.00057, binding=None, price=0.0, multiplier=0.0, denominator=10_000.0,
        ),
        constraint(
            id="roi", label=None, owner=None, reason=None, kind="ratio", unit="EUR per EUR", min=2.5, max=None, achieved=2.5,
            binding="min", price=21_430.0, denominator=1000.0,
        ),
        constraint(
            id="email_soft", label="E-mail volume", strength={"soft": 0.05}, max=100_000.0, achieved=112_000.0, slack=-12_000.0,
            price=0.05,
        ),
        constraint(
            id="ticket_watch", label="Ticket contacts", strength="report_only", min=1000.0, max=20_000.0, achieved=23_500.0,
            slack=-3500.0, binding=None, price=0.0, multiplier=0.0,
        ),
    ]  # fmt: skip


def write_run(
    root: Path,
    users: int = 60,
    seed: int = 1,
    products: tuple[str, ...] = PRODUCTS,
    constraints: list[dict] | None = None,
    with_model: bool = True,
) -> Run:
    """Writes a run of `users` users; the last is eligible for nothing, the one before has nothing worth showing."""
    generator = np.random.default_rng(seed)
    scores, allocation, model = root / "scores", root / "allocation", root / "model"
    for directory in (scores, allocation, model):
        directory.mkdir(parents=True)
    actions = _actions(products)
    catalogue = Catalogue(tuple(actions)).with_scores(
        METRICS, ("lifecycle", "market"), "valuenet-1f2e3d4c", date(2026, 11, 23)
    )
    mean = _means(generator, users, actions)
    eligible_UA = generator.random((users, len(actions))) < 0.7
    eligible_UA[-1] = False
    mean["revenue"][-2], mean["subs"][-2] = -1.0, -1.0
    user_ids = tuple(f"listener-{number:06d}" for number in range(users))
    markets = generator.choice(["BR", "DE", "GB", "NO", "SE", "US"], users, p=[0.15, 0.2, 0.2, 0.05, 0.1, 0.3])
    lives = generator.choice(["new", "active", "lapsing"], users)
    with ScoresWriter(scores, catalogue) as writer:
        segments = {"market": pa.array(markets), "lifecycle": pa.array(lives)}
        writer.write(pa.array(user_ids), segments, mean, eligible_UA=eligible_UA)
    value_UA = sum(term["weight"] * mean[term["metric"]].astype(np.float64) for term in OBJECTIVE)
    chosen = _choose(np.where(eligible_UA, value_UA, -1.0))
    _write_contacts(allocation, actions, user_ids, chosen, value_UA)
    _write_certificate(allocation, users, actions, chosen, value_UA, mean, eligible_UA, constraints)
    checks = [
        {"name": name, "status": "PASS", "detail": "0 found"}
        for name in ("one action per slot", "eligibility", "bound")
    ]
    (allocation / "audit.json").write_text(json.dumps({"checks": checks, "clean": True}))
    (allocation / "manifest.json").write_text(json.dumps({"stage": "allocate", "inputs": {"scores": "sha256:ab12"}}))
    if with_model:
        (model / "evaluation.json").write_text(json.dumps(evaluation([a["id"] for a in actions], generator)))
    sources = Sources(allocation, scores, model if with_model else None, policy_name="default")
    return Run(sources, user_ids, value_UA.max(axis=1), tuple(chosen))


def _actions(products: tuple[str, ...]) -> list[dict]:
    return [
        {
            "id": f"{surface}_1/{product.removeprefix('premium_')}/{message}",
            "slot": f"{surface}_1",
            "surface": surface,
            "product": product,
            "family": "plan" if product.startswith("premium") else "other",
            "message": message,
        }
        for position, product in enumerate(products)
        for surface in SURFACES
        for message in (MESSAGES[(position + len(surface)) % 3],)
    ]


def _means(generator: np.random.Generator, users: int, actions: list[dict]) -> dict[str, np.ndarray]:
    shape = (users, len(actions))
    pull_A = generator.gamma(2.0, 0.5, len(actions))
    subs = generator.gamma(0.5, 0.004, shape) * pull_A
    scale = {"subs": subs, "mau": 1.4 * subs, "revenue": 6.0 * subs * generator.random(shape)}
    scale["opt_out"] = generator.gamma(0.4, 0.0008, shape)
    return {name: values.astype(np.float32) for name, values in scale.items()}


def _choose(value_UA: np.ndarray) -> list[tuple[int, int]]:
    """Every user's best positive action, and a second one on another surface for every third user."""
    chosen = []
    for user, value_A in enumerate(value_UA):
        for action in np.argsort(-value_A)[: 2 if user % 3 == 0 else 1]:
            if value_A[action] > 0:
                chosen.append((user, int(action)))
    return chosen


def _write_contacts(
    path: Path, actions: list[dict], user_ids: tuple[str, ...], chosen: list[tuple[int, int]], value_UA: np.ndarray
) -> None:
    pq.write_table(
        pa.table(
            {
                "user_id": pa.array([user_ids[user] for user, _ in chosen], pa.string()),
                "action": pa.array([actions[action]["id"] for _, action in chosen], pa.string()),
                "slot": pa.array([actions[action]["slot"] for _, action in chosen], pa.string()),
                "value": pa.array([value_UA[pair] for pair in chosen], pa.float64()),
                "margin": pa.array([0.01 for _ in chosen], pa.float64()),
                "runner_up": pa.array([None for _ in chosen], pa.string()),
                "source": pa.array(
                    ["exploration" if user % 20 == 1 else "optimised" for user, _ in chosen], pa.string()
                ),
                "propensity": pa.array([1.0 for _ in chosen], pa.float64()),
            }
        ),
        path / "part-00000.parquet",
    )


def _write_certificate(path, users, actions, chosen, value_UA, mean, eligible_UA, constraints) -> None:
    value = float(sum(value_UA[pair] for pair in chosen))
    reached = len({user for user, _ in chosen})
    pairs, eligible = int(eligible_UA.sum()), int(eligible_UA.any(axis=1).sum())
    totals = {name: float(sum(float(values[pair]) for pair in chosen)) for name, values in mean.items()}
    content = {
        "status": "optimal",
        "users": users,
        "contacts": len(chosen),
        "value": value,
        "bound": value * 1.0000231,
        "gap": 0.0000231 / 1.0000231,
        "constraints": every_constraint() if constraints is None else constraints,
        "seconds": {"read": 0.41, "prices": 2.2, "integers": 1.3, "audit": 0.6},
        "passes": 3,
        "greedy": {"value": value * 0.957, "feasible": True},
        "funnel": [
            {"stage": "candidates", "contacts": users * len(actions), "users": users},
            {"stage": "eligible in the scores", "contacts": pairs, "users": eligible},
            {"stage": "allowed by the policy", "contacts": pairs * 3 // 4, "users": eligible},
            {"stage": "outside the holdout", "contacts": pairs * 3 // 4, "users": eligible},
            {"stage": "allocated", "contacts": len(chosen), "users": reached},
        ],
        "objective": OBJECTIVE,
        "metrics": {metric.name: {"total": totals[metric.name], "unit": metric.unit} for metric in METRICS},
        "as_of": "2026-11-23",
        "policy_digest": "sha256:5d41402abc4b2a76b9719d911017c592",
    }
    (path / "certificate.json").write_text(json.dumps(content))


def evaluation(actions: list[str], generator: np.random.Generator) -> dict:
    """An evaluation of the shape that training writes."""
    worth = {
        "valuenet": 0.0412, "ridge T-learner": 0.0391, "best fixed action": 0.0352,
        "average effect": 0.036, "logging policy": 0.0215, "random": 0.0178,
    }  # fmt: skip
    policies = [
        {
            "name": name, "outcome": outcome, "estimator": estimator, "value": scale * value, "stderr": scale * 0.0012,
            "low": scale * (value - 0.00235), "high": scale * (value + 0.00235), "effective_sample_size": 1840.0,
            "difference_to_best_fixed": {
                "value": scale * (value - 0.0352), "stderr": scale * 0.0014,
                "low": scale * (value - 0.0352 - 0.0027), "high": scale * (value - 0.0352 + 0.0027),
            },
        }
        for outcome, scale in (("subs", 0.1), ("objective", 1.0))
        for estimator in ("IPS", "SNIPS", "DR")
        for name, value in worth.items()
    ]  # fmt: skip
    qini = [
        {"model": model, "outcome": outcome, "action": action, "qini": float(generator.normal(level, 0.0006)),
         "stderr": 0.0005, "rows": int(generator.integers(200, 2000))}
        for model, level in (("valuenet", 0.0011), ("ridge T-learner", 0.0009))
        for outcome in ("subs", "revenue")
        for action in actions
    ]  # fmt: skip
    calibration = [
        {"outcome": outcome, "action": action, "slope": float(np.clip(generator.normal(0.8, 0.2), 0, 1.3)), "stderr": 0.12,
         "average_effect": float(generator.normal(0.003, 0.001)), "average_effect_stderr": 0.0007,
         "held_out": {"value": float(generator.normal(1.0, 0.1)), "stderr": 0.2},
         "deciles": [{"predicted": 0.0007 * tenth, "realised": 0.0006 * tenth + float(generator.normal(0, 0.0008)), "stderr": 0.0011}
                     for tenth in range(10)]}
        for outcome in ("subs", "revenue")
        for action in actions
    ]  # fmt: skip
    calibration[0]["deciles"] = calibration[0]["deciles"][:1]  # an action that few were given
    pooled = [
        {"outcome": outcome, "deciles": [{"predicted": 0.0007 * tenth, "realised": 0.0006 * tenth, "stderr": 0.0002}
                                         for tenth in range(10)]}
        for outcome in ("subs", "revenue")
    ]  # fmt: skip
    return {
        "rows": {"train": 31_000, "validation": 7700, "test": 9600},
        "outcomes": ["subs", "revenue"],
        "objective": {"revenue": 1.0, "subs": 12.0},
        "policies": policies,
        "qini": qini,
        "calibration": calibration,
        "calibration_pooled": pooled,
        "training": {"epochs": 14, "best_epoch": 9, "curve": [], "seconds": 31.0},
    }
