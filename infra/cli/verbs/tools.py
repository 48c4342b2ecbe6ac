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
from infra.tools import artifacts, carry, stock


@click.group(
    epilog=epilog(
        "antenna tools list", "antenna tools build etcd coredns", "antenna tools export tools.tar.gz"
    ),
    invoke_without_command=True,
)
@click.pass_context
def tools(ctx: click.Context) -> None:
    """List, build, carry and clean the pinned tools.

    They are built from source once and kept in the cache.
    """
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


@tools.command(
    cls=Verb, epilog=epilog("antenna tools export tools.tar.gz", "scp tools.tar.gz root@another-host:")
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, resolve_path=True))
@click.pass_obj
def export(session: Session, file: Path) -> None:
    """Write the built tools to one FILE, for another machine to import."""
    screen = session.begin("tools-export")
    with screen.phase("export"):
        done = carry.export(file, lambda line: screen.status("tools", line))
    screen.say(f"tools: {', '.join(done.tools)} in {file}, {size(done.size)}", "bold green")
    screen.say(f"next: antenna tools import {file.name} --sha256 {done.sha256}   (on the other machine)")


@tools.command("import", cls=Verb, epilog=epilog("antenna tools import tools.tar.gz --sha256 2c26b46b..."))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, resolve_path=True))
@click.option("--sha256", metavar="HEX", help="What FILE must have, as `antenna tools export` has told it.")
@click.pass_obj
def import_tools(session: Session, file: Path, sha256: str | None) -> None:
    """Put the tools of a FILE into the cache in place of building them.

    Every file is checked against the list in FILE; --sha256 checks FILE itself. Whoever made FILE decides
    what runs on this site's machines: without --sha256 take it from nobody but yourself.
    """
    screen = session.begin("tools-import")
    if not file.is_file():
        raise WrongInput(f"there is no file {file}", "`antenna tools export FILE` writes one")
    with screen.phase("import"):
        done = carry.take(file, sha256, lambda line: screen.status("tools", line))
    screen.say(f"tools: {', '.join(done.tools)} are in the cache", "bold green")


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
