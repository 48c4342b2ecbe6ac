"""`antenna tools`: the pinned tools that sites are made with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from infra import paths
from infra.cli.failure import WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.provider import base
from infra.tools import artifacts, stock


@click.group(
    epilog=epilog("antenna tools list", "antenna tools build etcd coredns", "antenna tools clean --yes"),
    invoke_without_command=True,
)
@click.pass_context
def tools(ctx: click.Context) -> None:
    """List, build and clean the pinned tools. They are built from source once and kept in the cache."""
    if ctx.invoked_subcommand is None:
        list_tools.invoke(ctx)


@tools.command("list", cls=Verb)
@options("json")
@click.pass_obj
def list_tools(session: Session) -> None:
    """Show each tool's version, whether it is built, and its size."""
    screen = session.begin("tools")
    rows = stock.status()
    if session.json:
        documents = [
            {"name": r.tool, "version": r.version, "built": r.built, "path": str(r.path), "size": r.size}
            for r in rows
        ]
        click.echo(json.dumps({"tools": documents}, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("TOOL", "VERSION", "BUILT", "SIZE"):
        table.add_column(column, justify="right" if column == "SIZE" else "left")
    for row in rows:
        built = Text("yes", "green") if row.built else Text("no", "yellow")
        table.add_row(row.tool, row.version, built, size(row.size) if row.size else "")
    screen.show(table)


@tools.command(cls=Verb)
@click.argument("names", nargs=-1)
@click.pass_obj
def build(session: Session, names: tuple[str, ...]) -> None:
    """Build the tools of these NAMES, or all. What is built already is left alone."""
    known = [row.tool for row in stock.status()]
    if unknown := sorted(set(names) - set(known)):
        raise WrongInput(f"no tool is called {', '.join(unknown)}", f"there are: {', '.join(known)}")
    screen = session.begin("tools-build")
    with screen.phase("tools"):
        stock.ensure(names, lambda progress: screen.status("tools", str(progress)))
    screen.say(f"tools: {', '.join(names) or 'all'} built", "bold green")


@tools.command(cls=Verb)
@options("yes")
@click.pass_obj
def clean(session: Session) -> None:
    """Remove from the cache what this version does not use and no running machine uses either."""
    screen = session.begin("tools-clean")
    current = [row.path for row in stock.status()]
    current += [*artifacts.current(), *base.layers(base.site_digest())]
    folders = [paths.cache_dir() / name for name in ("tools", "images", "artifacts", "base")]
    there = [p for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_dir()]
    old = outdated(there, current, in_use())
    if not old:
        screen.say("tools: nothing to clean", "bold green")
        return
    freed = sum(
        f.stat().st_size for path in old for f in path.rglob("*") if f.is_file() and not f.is_symlink()
    )
    for path in old:
        screen.say(f"  {path}")
    if not session.yes:
        click.confirm(f"Remove these {len(old)} folders ({size(freed)})?", abort=True, err=True)
    for path in old:
        shutil.rmtree(path)
    screen.say(f"tools: {len(old)} old folders removed, {size(freed)} freed", "bold green")


def outdated(there: Iterable[Path], current: Iterable[Path], used: str) -> list[Path]:
    """The folders that nothing current is (or is in) and that ``used`` does not name. Pure.

    Hidden folders hold locks and what is being made.
    """
    keep = {p for path in current for p in (path, *path.parents)}
    return sorted(p for p in there if p not in keep and not p.name.startswith(".") and str(p) not in used)


def in_use() -> str:
    """The mounts and the command lines of this host: machines name there what they are made from."""
    found = []
    for path in (Path("/proc/self/mounts"), *Path("/proc").glob("[0-9]*/cmdline")):
        with suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def size(amount: int) -> str:
    """Bytes for people."""
    return f"{amount / 2**30:.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
