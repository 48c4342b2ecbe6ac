"""Looks whether each node's network layer decides about its pods' connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from operators.isolation import AGENT_PORT
from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError

SECONDS = 5.0  # for an answer


def look(api: Cluster, nodes: list[str]) -> tuple[str, ...]:
    """What is wrong, a line a node; asked through the API server, which every node lets in."""

    def ask(node: str) -> str:
        try:
            api.read(f"/api/v1/nodes/http:{node}:{AGENT_PORT}/proxy/healthz", {}, silence=SECONDS)
        except KubernetesError as error:
            return f"{node}: {error}"
        return ""

    with ThreadPoolExecutor() as pool:
        return tuple(filter(None, pool.map(ask, nodes)))
