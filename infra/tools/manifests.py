"""Upstream's own manifests, rendered from the pinned module's folder."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from infra.tools.build import module_directory, tail
from infra.tools.failure import ToolError
from infra.tools.images import KUEUE
from infra.tools.kubectl import kubectl
from infra.tools.pins import tool
from operators.manifests import NAMESPACE, SCRAPERS

_CONFIGURATION = (
    # Borrowed GPUs are shared by the queues' weights, not first come, first kept; upstream leaves it off.
    ("    #fairSharing:\n    #  preemptionStrategies:", "    fairSharing:\n      preemptionStrategies:"),
    # The node's disk is the scheduler's to count: no queue has a quota of it, and Kueue would have what asks
    # for some wait for good.
    (
        "    #resources:\n    #  excludeResourcePrefixes: []\n",
        "    resources:\n      excludeResourcePrefixes: [ephemeral-storage]\n",
    ),
)
_CONTAINER = "        kubectl.kubernetes.io/default-container: manager\n"
_REPLACEMENTS = (
    # The module's folder names the image of its last development build; a release is cut from it by
    # putting the tag in its place.
    ("image: us-central1-docker.pkg.dev/k8s-staging-images/kueue/kueue:main", f"image: {KUEUE}"),
    # Nodes on a closed network already hold the image.
    ("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent"),
    *_CONFIGURATION,
    # It reads its configuration when it starts: another makes another pod.
    (
        _CONTAINER,
        f"{_CONTAINER}        antenna.be/configuration: "
        f"{hashlib.sha256(repr(_CONFIGURATION).encode()).hexdigest()[:16]!r}\n",
    ),
    # Beside the API server: no partner's work pushes it out, and no GPU node that is drained or lost takes
    # it along, for while it is away no job is queued at all.
    (
        "      serviceAccountName: kueue-controller-manager\n",
        "      serviceAccountName: kueue-controller-manager\n"
        "      priorityClassName: system-cluster-critical\n"
        "      nodeSelector: {node-role.kubernetes.io/control-plane: ''}\n"
        "      tolerations: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]\n",
    ),
)

# Namespaces that Kueue's webhooks leave alone, in each of them: ours are none of its business, and must not
# wait for it. A ReplicaSet whose pod is refused while Kueue is away tries again ever later, minutes at last.
_LEFT_ALONE = "      - kube-system\n      - kueue-system\n"
_OURS_TOO = "".join(f"      - {name}\n" for name in (NAMESPACE, *SCRAPERS))


RECIPE = (_REPLACEMENTS, _OURS_TOO)
"""What is done to upstream's manifests."""


def render_kueue() -> str:
    """Kueue's installation as YAML documents: the release's, but for the lines replaced above."""
    folder = module_directory(tool("kueue")) / "config" / "default"
    return adapt(_kustomize(folder))


def adapt(rendered: str) -> str:
    """The release's manifests with the lines above replaced. Pure.

    Raises ToolError when upstream's lines are not there as expected, as after an upgrade.
    """
    for upstream, ours in _REPLACEMENTS:
        if (found := rendered.count(upstream)) != 1:
            raise ToolError(f"kueue's manifests hold {upstream!r} {found} times, expected once")
        rendered = rendered.replace(upstream, ours)
    if _LEFT_ALONE not in rendered:
        raise ToolError(f"no webhook of kueue's manifests leaves {_LEFT_ALONE!r} alone")
    return rendered.replace(_LEFT_ALONE, _LEFT_ALONE + _OURS_TOO)


def _kustomize(folder: Path) -> str:
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"`kubectl kustomize {folder}` failed: {tail(done.stderr)}")
    return done.stdout
