"""Runs the Pulumi program in a Python of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.engine.config import ConfigValue, Project
from infra.engine.process import Process

_RUNNER = Path(__file__).with_name("runner.py")


def start(
    project: Project,
    stack: str,
    config: Mapping[str, ConfigValue],
    address: str,
    *,
    preview: bool,
    parallel: int,
    environ: Mapping[str, str],
    hear: Callable[[str], None],
) -> Process:
    """Start the program; `address` is where both the resource monitor and the engine listen."""
    arguments = {
        "project": project.name,
        "stack": stack,
        "root_directory": str(project.directory),
        "monitor": address,
        "engine": address,
        "parallel": parallel,
        "dry_run": preview,
        "organization": "organization",
    }
    environ = {
        **environ,
        "PULUMI_CONFIG": json.dumps({key: value.text for key, value in config.items()}),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps([key for key, value in config.items() if value.secret]),
    }
    python = str(project.python) if project.python.exists() else sys.executable
    directory = project.main if project.main.is_dir() else project.main.parent
    # -P: the runner's own folder, this package, must not shadow what the program imports.
    command = [python, "-P", "-u", str(_RUNNER), str(project.main), json.dumps(arguments)]
    return Process(command, directory, environ, hear)
