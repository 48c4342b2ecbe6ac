"""The `antenna` command: one verb a file."""

from infra.cli.command import main

__all__ = ["main"]
