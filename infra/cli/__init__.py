"""The `antenna` command: one verb a file."""

import os

# pydantic would look through every installed package for plugins, and there are none: 60 ms for each command,
# and as much for the program, which inherits it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from infra.cli.command import main

__all__ = ["main"]
