"""Looks at the operator: its Deployment, its pod, its log, how old its figures are, who asks sites."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from infra.cli.checks import operator as operator_checks
from infra.cli.checks.facts import Operator
from infra.cli.views.kube import condition, is_true
from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError
from operators.manifests import HEALTH_PORT, LEASE, NAME, NAMESPACE, STREAMS

LOG_SECONDS: Final = 60
LOG_BYTES: Final = 1 << 20
SECONDS: Final = 5.0  # for an answer of its pod


def look(api: Cluster) -> Operator:
    """The operator as it is now. Raises KubernetesError where the API server does not answer."""
    deployment = api.find("apps/v1", "Deployment", NAME, NAMESPACE)
    if deployment is None:
        return Operator()
    wanted = int(deployment["spec"].get("replicas", 1))
    pods = api.list_objects("v1", "Pod", NAMESPACE, labels=f"app.kubernetes.io/name={NAME}")
    pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not pods:
        state = str(condition(deployment, "ReplicaFailure").get("message") or "it has no pod")
        return Operator(deployed=True, wanted=wanted, state=state)
    pod = max(pods, key=lambda one: str(one["metadata"]["creationTimestamp"]))
    ready, name = is_true(pod, "Ready"), pod["metadata"]["name"]
    errors = _errors(api, name)
    streams, silent = _streams(api, name)
    stalest = max(streams, key=lambda one: float(one["age_seconds"]), default=None)
    return Operator(
        deployed=True,
        wanted=wanted,
        ready=ready,
        state="" if ready or streams else operator_checks.pod_state(pod),
        unlisted=tuple(str(one["resource"]) for one in streams if not one["listed"]),
        stalest=str(stalest["resource"]) if stalest else "",
        age=float(stalest["age_seconds"]) if stalest else 0.0,
        silent=silent if ready else "",
        errors=len(errors),
        error=errors[-1][: operator_checks.CUT] if errors else "",
    )


def unasked(api: Cluster) -> str:
    """Why nobody asks the remote sites; empty while somebody does. Raises KubernetesError."""
    lease = api.find("coordination.k8s.io/v1", "Lease", LEASE, NAMESPACE)
    return operator_checks.unasked(lease, datetime.now(UTC))


def _streams(api: Cluster, pod: str) -> tuple[list[dict[str, Any]], str]:
    """What the operator says of its streams, or why it says nothing."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{HEALTH_PORT}/proxy{STREAMS}"
    try:
        answer = api.request("GET", path, timeout=SECONDS)
        return list(answer["streams"]), ""
    except KubernetesError as error:
        return [], str(error)
    except (KeyError, TypeError):
        return [], f"its answer on {STREAMS} is no document of streams: is it of another version?"


def _errors(api: Cluster, pod: str) -> list[str]:
    """The errors in the pod's log within the last minute; none where it has no log (yet)."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/log"
    query = {"sinceSeconds": str(LOG_SECONDS), "limitBytes": str(LOG_BYTES)}
    try:
        return operator_checks.errors(
            api.read(path, query, silence=SECONDS).decode(errors="replace").splitlines()
        )
    except KubernetesError:
        return []
