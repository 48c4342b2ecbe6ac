"""The administrator's way into a cluster, whatever made it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from infra.tools.kubectl import kubectl


@dataclass(frozen=True)
class Access:
    """A cluster that is up and that Kueue runs in or beside."""

    kubeconfig: Path
    lasting: bool = field(default=False, kw_only=True)
    """It is there after the tests, and must be as it was before them."""

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """kubectl as the administrator, or as anybody with ``--as``; its output."""
        done = subprocess.run(
            [kubectl(), "--kubeconfig", self.kubeconfig, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout + ("" if check else done.stderr)
