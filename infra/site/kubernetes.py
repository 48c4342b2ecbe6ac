"""What a site chooses about its cluster. The version is not a choice: it is pinned with the tools."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.site.values import Model, Range

Repository = Annotated[
    str,
    Field(
        strict=True, pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._/-]+)?$", examples=["registry.k8s.io"]
    ),
]
Mirror = Annotated[
    str, Field(strict=True, pattern=r"^https?://[^\s/]+(/\S*)?$", examples=["https://mirror.example"])
]


class Kubernetes(Model):
    """Where images come from, and who may reach every port of the machines."""

    image_repository: Repository = "registry.k8s.io"
    registry_mirrors: dict[Repository, Mirror] = Field(default_factory=dict)
    """Registry to the URL that serves it: on a closed network no registry is reached directly."""
    trusted_cidrs: tuple[Range, ...] = ()
    """Ranges of operators and monitoring, beside the machines' own network."""
