"""What our kinds say of their state: conditions as Kubernetes has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from operators.api.values import Model


class Condition(Model):
    """One aspect of an object's state, as Kubernetes' metav1.Condition has it."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    observed_generation: int = Field(default=0, alias="observedGeneration", ge=0)
    """The generation of the spec that this was said of."""
    last_transition_time: datetime = Field(alias="lastTransitionTime")
    """When the status changed last."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why, in one word."""
    message: str = Field("", max_length=32768)
    """Why, in a sentence, and what to do."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
