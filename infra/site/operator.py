"""What a site chooses about the operator that runs in its cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.site.values import Model

Reference = Annotated[
    str,
    Field(
        strict=True,
        pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$",
        examples=["registry.example/antenna/operator:0.1.0"],
    ),
]
StorageClass = Annotated[
    str, Field(strict=True, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", examples=["ceph-block"])
]


class Operator(Model):
    """Where its image comes from, and where it keeps the ledger of finished jobs."""

    image: Reference | None = None
    """An image in a registry, made from operators/Containerfile. Without it: the name of the image that
    machines made here load, under which a mirror may serve it too."""
    storage_class: StorageClass | None = None
    """Without one, a folder of the head holds the ledger, and the operator runs there."""
