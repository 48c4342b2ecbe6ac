"""The built tools as one file, so that another machine need not build them.

A tar archive, gzipped: first a document that names every file with its SHA-256, and says which tools they
are of and what those were built from; then the files. What is taken in is checked against it, file by file,
before anything is put into the cache; whether the file is the one that was exported, the digest of the whole
tells.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from infra import paths
from infra.tools.build import content_hash, directory
from infra.tools.cache import make_once, scratch_folder
from infra.tools.failure import ToolError
from infra.tools.layers import add
from infra.tools.pins import TOOLS, Tool
from infra.tools.toolchain import Toolchain, choose

MANIFEST: Final = "antenna-tools.json"
FORMAT: Final = 1
_PIECE: Final = 1 << 20  # bytes read at a time
_LARGEST: Final = 1 << 20  # bytes of the document, at most

Say = Callable[[str], None]


@dataclass(frozen=True)
class Carried:
    """What was put into a file, or taken out of one. ``sha256`` is of the whole file, in hex."""

    tools: tuple[str, ...]
    size: int
    sha256: str


def export(file: Path, say: Say, tools: Iterable[Tool] = TOOLS) -> Carried:
    """Write the built tools to a file, whole or not at all. Raises ToolError where one is not built."""
    chosen = list(tools)
    if missing := [tool.name for tool in chosen if not directory(tool).is_dir()]:
        raise ToolError(
            f"{', '.join(missing)}: not built yet, so there is nothing to export. Next: antenna tools build"
        )
    document = {
        "format": FORMAT,
        "system": _system(chosen[0]),
        "tools": [
            {
                "name": tool.name,
                "version": tool.version,
                "source": _source(tool),
                "files": {
                    path.relative_to(directory(tool)).as_posix(): _sha256(path) for path in _files(tool)
                },
            }
            for tool in chosen
        ],
    }
    draft = file.with_name(f".{file.name}.making")
    try:
        with draft.open("wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
            add(archive, MANIFEST, json.dumps(document, indent=1).encode())
            for tool in chosen:
                say(f"writing {tool.name} {tool.version}")
                for path in _files(tool):
                    name = f"{tool.name}/{path.relative_to(directory(tool)).as_posix()}"
                    archive.add(path, name, recursive=False, filter=_plain)
        draft.rename(file)
    except OSError as error:
        raise ToolError(f"{file} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return Carried(tuple(tool.name for tool in chosen), file.stat().st_size, _sha256(file))


def take(file: Path, sha256: str | None, say: Say, tools: Iterable[Tool] = TOOLS) -> Carried:
    """Put the tools of a file into the cache; those that are there already are left alone.

    ``sha256`` is what the whole file must have, in hex; None takes any. Raises ToolError, and then nothing
    was put anywhere: for another digest, for a file that is not as the document says, and for tools that
    this version does not use or that are of another system.
    """
    try:
        return _take(file, sha256, say, {tool.name: tool for tool in tools})
    except (tarfile.TarError, zlib.error, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"{file} is not what `antenna tools export` wrote: {error}") from error
    except OSError as error:
        raise ToolError(f"{file} cannot be read: {error}") from error


def _take(file: Path, sha256: str | None, say: Say, known: dict[str, Tool]) -> Carried:
    found = _sha256(file)
    if sha256 is not None and found != sha256.lower():
        raise ToolError(f"{file} has the SHA-256 {found}, not {sha256}: it is not the file that was exported")
    with scratch_folder(paths.cache_dir() / "tools", "import", say) as (scratch, _):
        with tarfile.open(file, "r|gz") as archive:
            members = iter(archive)
            tools = _document(archive, next(members, tarfile.TarInfo()))
            _refuse_others(tools, known)
            say(f"checking {file}")
            _unpack(archive, members, tools, scratch)
        for entry in tools:
            tool = known[entry["name"]]
            say(f"{tool.name} {tool.version}")
            make_once(directory(tool), tool.name, _moved(scratch / tool.name), say)
    return Carried(tuple(entry["name"] for entry in tools), file.stat().st_size, found)


def _document(archive: tarfile.TarFile, first: tarfile.TarInfo) -> list[dict[str, Any]]:
    if first.name != MANIFEST or first.size > _LARGEST:
        raise ValueError(f"it does not begin with {MANIFEST}")
    content = archive.extractfile(first)
    document = json.loads(content.read() if content else b"")
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']}; this version knows {FORMAT}")
    if (here := _system(TOOLS[0])) != document["system"]:
        raise ToolError(
            f"these tools are for {document['system']}, and this machine is {here}: build them here"
        )
    tools: list[dict[str, Any]] = document["tools"]
    return tools


def _refuse_others(tools: list[dict[str, Any]], known: dict[str, Tool]) -> None:
    """Tools of other sources would lie in the cache and never be used."""
    for entry in tools:
        tool = known.get(entry["name"])
        if tool is None or _source(tool) != entry["source"]:
            raise ToolError(
                f"{entry['name']} {entry['version']} is not what this version of the project uses"
                f"{f' ({tool.version}, from other sources)' if tool else ''}. "
                "Next: export from a clone of this version, or antenna tools build"
            )


def _unpack(
    archive: tarfile.TarFile, members: Iterable[tarfile.TarInfo], tools: list[dict[str, Any]], scratch: Path
) -> None:
    """Every file that the document names, each checked; no other."""
    wanted = {f"{entry['name']}/{name}": digest for entry in tools for name, digest in entry["files"].items()}
    for name in wanted:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{name} is no place in the cache")
    for member in members:
        if not member.isfile() or member.name not in wanted:
            raise ValueError(f"{member.name} is not named by its document")
        target = scratch / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(member)
        assert content  # noqa: S101 (a file has content)
        with target.open("wb") as out:
            digest = _copied(content, out)
        if digest != wanted.pop(member.name):
            raise ToolError(f"{member.name} is damaged: its SHA-256 is {digest}. Next: copy the file again")
        target.chmod(0o755)
    if wanted:
        raise ValueError(f"{next(iter(wanted))} is missing")


def _moved(folder: Path) -> Callable[[Path, int], None]:
    def make(scratch: Path, _lock: int) -> None:
        for path in folder.iterdir():
            path.rename(scratch / path.name)

    return make


def _files(tool: Tool) -> list[Path]:
    return sorted(path for path in directory(tool).rglob("*") if path.is_file())


def _source(tool: Tool) -> str:
    """A digest of what the tool is built from, whichever Go builds it."""
    return content_hash(tool, Toolchain(Path("go"), ""))


def _system(tool: Tool) -> str:
    """``linux/amd64``: the last word of what Go says of itself."""
    return choose(tool.name, tool.source / "go.mod").banner.rpartition(" ")[2]


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what is of this machine: owner and time."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    """The SHA-256 of what was copied, in hex."""
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()
