"""Upstream's own manifests, rendered from the pinned module's folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from infra.tools.build import module_directory, tail
from infra.tools.failure import ToolError
from infra.tools.images import KUEUE
from infra.tools.kubectl import kubectl
from infra.tools.pins import tool

_REPLACEMENTS = (
    # The module's folder names the image of its last development build; a release is cut from it by
    # putting the tag in its place.
    ("image: us-central1-docker.pkg.dev/k8s-staging-images/kueue/kueue:main", f"image: {KUEUE}"),
    # Nodes on a closed network already hold the image.
    ("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent"),
    # Borrowed GPUs are shared by the queues' weights, not first come, first kept; upstream leaves it off.
    ("    #fairSharing:\n    #  preemptionStrategies:", "    fairSharing:\n      preemptionStrategies:"),
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


def render_kueue() -> str:
    """Kueue's installation as YAML documents: the release's, but for the lines replaced above."""
    folder = module_directory(tool("kueue")) / "config" / "default"
    return adapt(_kustomize(folder))


def adapt(rendered: str) -> str:
    """The release's manifests with the lines above replaced. Pure.

    Raises ToolError when upstream's lines are not there once each, as after an upgrade.
    """
    for upstream, ours in _REPLACEMENTS:
        if (found := rendered.count(upstream)) != 1:
            raise ToolError(f"kueue's manifests hold {upstream!r} {found} times, expected once")
        rendered = rendered.replace(upstream, ours)
    return rendered


def _kustomize(folder: Path) -> str:
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"`kubectl kustomize {folder}` failed: {tail(done.stderr)}")
    return done.stdout
