"""The `antenna` command: one verb a file."""

import os

# It would look through every installed package for plugins: 60 ms a command, and there are none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from infra.cli.command import main

__all__ = ["main"]
