"""Settings of the model and of its training; Hydra composes them, pydantic validates them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL, WEIGHTS = "model.json", "weights.safetensors"
"""The files of a trained model, as `ranker.model.artifact` writes and reads them."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Settings):
    """The shape of ValueNet and how strongly each part is shrunk.

    The `*_sd` are standard deviations of normal priors on the scale of the link (log odds, log rate). The linear path needs none:
    it takes them from the data.
    """

    hidden: tuple[int, ...] = Field((48, 24), min_length=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    embedding: int = Field(12, ge=1, description="width of an action's embedding in the deep path")
    members: int = Field(3, ge=2, le=20, description="networks of the ensemble, each trained without one fold of users")
    tails: float = Field(1.5, gt=0, description="degrees of freedom of the linear path's prior: few effects are large")
    contact_sd: float = Field(0.5, gt=0, description="effect that all contacts share")
    size_sd: float = Field(0.1, gt=0, description="the same of the log of an amount's size, which contacts hardly move")
    action_sd: float = Field(0.05, gt=0, description="what is left to one action alone, for the calibration")
    deep_sd: float = Field(0.3, gt=0, description="every weight of the deep path")
    deep_interaction_sd: float = Field(0.03, gt=0, description="how much the deep path changes an effect")
    error_groups: str = Field(
        "message",
        min_length=1,
        description="attribute whose values share errors in sums; product where offers have none",
    )


class JudgingSettings(_Settings):
    """What the evaluation adds up, and how many rows it reads."""

    objective: dict[str, float] = Field(
        default_factory=dict, description="weight per outcome; empty: each alone, equal none"
    )
    deciles: int = Field(10, ge=2, le=100)
    rows: int = Field(100_000, ge=1, description="most test rows that judge; whole users")
    baseline_rows: int = Field(200_000, ge=1, description="most rows that teach the baselines; whole users")


class FitSettings(_Settings):
    """How the members are trained, on which users, and how weights of rare decisions are cut off."""

    max_epochs: int = Field(30, ge=1)
    patience: int = Field(
        4, ge=1, description="epochs of most_batches without progress on held-out users before a member stops"
    )
    batch_rows: int = Field(512, ge=16)
    most_batches: int = Field(64, ge=1, description="per epoch; with more rows batches grow instead")
    epoch_rows: int = Field(131_072, ge=1, description="most rows that an epoch learns from, and is judged by")
    averaging: float = Field(0.98, ge=0, lt=1, description="decay per step of the running mean of the weights")
    learning_rate: float = Field(0.02, gt=0)
    weight_clip: float = Field(10.0, ge=1, description="largest weight of a row, in multiples of the average")
    test_share: float = Field(0.2, ge=0, lt=0.9, description="users kept for the evaluation")
    interference: str = Field(
        "product", min_length=1, description="attribute whose values may spoil each other's effect"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="of the deep path; auto: a GPU if there is one"
    )
    devices: int = Field(1, ge=1, description="processes that share every batch, each with its GPU if there are any")
    threads: int = Field(
        1, ge=1, description="of torch and numpy; small matrices lose by more, above all on busy cores"
    )
    evaluate: JudgingSettings = JudgingSettings()
