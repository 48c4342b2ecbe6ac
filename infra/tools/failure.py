"""How building fails: one message for a person."""

from __future__ import annotations


class ToolError(Exception):
    """A pinned tool cannot be had. The message names the tool, the cause and the next step."""
