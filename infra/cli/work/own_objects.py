"""The Antenna's own objects in a cluster, which has their kinds once the operator is there."""

from __future__ import annotations

from contextlib import suppress

from infra.cli.views.kube import Object
from operators.api import API_VERSION
from operators.kube.client import Cluster
from operators.kube.errors import NotFound


def own_objects(api: Cluster, kind: str) -> list[Object]:
    """All Tenants, RemoteSites or RemoteJobs; none where the kind is not served. Raises KubernetesError."""
    with suppress(NotFound):
        return [*api.list_objects(API_VERSION, kind)]
    return []
