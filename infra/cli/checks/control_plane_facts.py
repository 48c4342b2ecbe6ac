"""Looks at the control plane's and the kubelets' flags as they run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from infra import control_plane
from infra.control_plane import KUBELET, STATIC_PODS
from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError

SECONDS = 5.0  # for a kubelet's answer


def look(api: Cluster, nodes: list[str]) -> tuple[int, tuple[str, ...]]:
    """(how many flags were compared, how they differ from the table, a line each).

    A kubelet is asked through the API server, which checks its certificate. Raises KubernetesError where
    the API server does not answer; a kubelet that does not is a line.
    """
    rows = control_plane.table()
    with ThreadPoolExecutor() as pool:
        kubelets = list(pool.map(lambda node: list(_of_kubelet(api, node)), nodes))
    lines = [*_of_static_pods(api), *(line for found in kubelets for line in found)]
    compared = sum(len(rows.of(name)) for name in STATIC_PODS) + len(rows.of(KUBELET)) * len(nodes)
    return compared, tuple(lines)


def _of_static_pods(api: Cluster) -> Iterator[str]:
    pods = api.list_objects("v1", "Pod", "kube-system", labels="tier=control-plane")
    for name in STATIC_PODS:
        found = [pod for pod in pods if pod["metadata"].get("labels", {}).get("component") == name]
        if not found:
            yield f"{name}: no pod of it is there"
        for pod in found:
            command = pod["spec"]["containers"][0].get("command") or []
            yield from control_plane.differences_of_command(control_plane.table().of(name), command)


def _of_kubelet(api: Cluster, node: str) -> Iterator[str]:
    try:
        answer = api.read(f"/api/v1/nodes/{node}/proxy/configz", {}, silence=SECONDS)
        config = json.loads(answer)["kubeletconfig"]
    except (KubernetesError, ValueError, KeyError, TypeError) as error:
        yield f"kubelet of {node}: does not tell its configuration ({error})"
        return
    yield from control_plane.differences_of_kubelet(control_plane.table().of(KUBELET), node, config)
