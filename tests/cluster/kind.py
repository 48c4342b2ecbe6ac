"""A kind cluster with Kueue in it, as a site installs it. Needs kind and Docker."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.tools.manifests import render_kueue
from tests.cluster.access import Access


def missing() -> str | None:
    """What this host lacks for it, with what to do; None when it lacks nothing."""
    if not shutil.which("kind"):
        return "there is no kind on the PATH: install it (https://kind.sigs.k8s.io), or use --cluster light"
    asked = ["docker", "info"]
    if not shutil.which("docker") or subprocess.run(asked, capture_output=True, check=False).returncode:
        return "no Docker answers (`docker info`): start it, or use --cluster light"
    return None


@contextmanager
def kind_cluster(folder: Path) -> Iterator[Access]:
    """Up when entered, gone when left. kind's own node image decides Kubernetes' version."""
    name = f"antenna-{secrets.token_hex(4)}"
    cluster = Access(folder / "kubeconfig")
    try:
        _kind("create", "cluster", "--name", name, "--kubeconfig", str(cluster.kubeconfig), "--wait", "2m")
        cluster.kubectl("apply", "--server-side", "-f", "-", given=render_kueue())
        cluster.kubectl(
            *("-n", "kueue-system", "wait", "deployment", "--all"),
            *("--for=condition=Available", "--timeout=5m"),
        )
        yield cluster
    finally:
        _kind("delete", "cluster", "--name", name, "--kubeconfig", str(cluster.kubeconfig))


def _kind(*arguments: str) -> None:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"kind {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
