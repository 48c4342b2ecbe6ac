"""A tool of one small program, for the tests of building and carrying."""

from __future__ import annotations

from pathlib import Path

from infra.tools.pins import Tool

GO_MOD = "module example.org/hello\n\ngo 1.21\n"
HELLO = 'package main\n\nvar greeting = "hello"\n\nfunc main() { println(greeting) }\n'


def hello_tool(folder: Path) -> Tool:
    """Its source is written to a folder of this one."""
    source = folder / "hello"
    source.mkdir()
    (source / "go.mod").write_text(GO_MOD)
    (source / "main.go").write_text(HELLO)
    return Tool(source, "example.org/hello", "v1.0.0", {"example.org/hello": "greet"}, seconds=2)
