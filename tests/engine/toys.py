"""What the test programs are written in: things, boxes of things, and the SDK."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi import ResourceOptions as Options
from pulumi import export


class Thing(pulumi.CustomResource):
    """A thing of the toy provider; its label is its name unless another is given."""

    loud: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("toy:index:Thing", name, {"label": name, "loud": None, **inputs}, opts)


class Box(pulumi.ComponentResource):
    """A component that holds things."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **outputs: Any) -> None:
        super().__init__("toy:index:Box", name, {}, opts)
        self.inside = pulumi.ResourceOptions(parent=self)
        self.register_outputs(outputs)


class Toy(pulumi.ProviderResource):
    """The toy provider with a configuration of its own."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("toy", name, inputs, opts)


secret = pulumi.Output.secret

__all__ = ["Box", "Options", "Thing", "Toy", "export", "pulumi", "secret"]
