"""Built tools are carried to another machine in one file, and only what is as it was sent is taken in."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.tools import carry
from infra.tools.build import binary, build, directory
from infra.tools.carry import MANIFEST
from infra.tools.failure import ToolError
from infra.tools.pins import Tool
from tests.unit.hello_tool import HELLO, hello_tool


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A tool of one small program, built into a cache of its own."""
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "cache"))
    tool = hello_tool(tmp_path)
    build([tool], lambda _: None)
    return tool


@pytest.fixture
def file(hello: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Exported; and the cache is another machine's from now on."""
    written = tmp_path / "tools.tar.gz"
    carry.export(written, quiet, [hello])
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "other"))
    assert not directory(hello).exists()
    return written


def quiet(line: str) -> None:
    """Progress, for nobody."""


def nothing_is_left(tmp_path: Path) -> bool:
    """Of a tool that was refused, finished or not."""
    tools = tmp_path / "other" / "tools"
    return not tools.is_dir() or [p.name for p in tools.iterdir() if p.name != ".locks"] == []


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The file with other members."""
    with tarfile.open(file) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_another_machine_has_the_same_bytes_without_building(
    hello: Tool, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert carry.take(file, None, quiet, [hello]).tools == ("hello",)
    with monkeypatch.context() as before:
        before.setenv("ANTENNA_CACHE", str(tmp_path / "cache"))
        built = binary(hello, "greet").read_bytes()
    assert binary(hello, "greet").read_bytes() == built
    assert binary(hello, "greet").stat().st_mode & 0o111
    seen: list[object] = []
    build([hello], seen.append)
    assert seen == []


def test_what_is_there_already_is_left_alone(hello: Tool, file: Path) -> None:
    carry.take(file, None, quiet, [hello])
    before = binary(hello, "greet").stat().st_ino
    carry.take(file, None, quiet, [hello])
    assert binary(hello, "greet").stat().st_ino == before


def test_two_exports_are_the_same_but_for_their_time(hello: Tool, tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one.tar.gz", "two.tar.gz"))
    told = [carry.export(path, quiet, [hello]) for path in (one, two)]
    assert told[0].size == one.stat().st_size
    with tarfile.open(one) as first, tarfile.open(two) as second:
        assert [m.get_info() for m in first] == [m.get_info() for m in second]


def test_the_digest_of_the_whole_is_held_to(hello: Tool, file: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="it is not the file that was exported"):
        carry.take(file, "0" * 64, quiet, [hello])
    assert nothing_is_left(tmp_path)
    right = carry.take(file, None, quiet, [hello]).sha256
    assert carry.take(file, right.upper(), quiet, [hello]).sha256 == right


def damaged(members: dict[str, bytes]) -> None:
    members["hello/bin/greet"] += b"!"


def lacking(members: dict[str, bytes]) -> None:
    del members["hello/bin/greet"]


def with_another(members: dict[str, bytes]) -> None:
    members["hello/bin/other"] = b""


def without_document(members: dict[str, bytes]) -> None:
    del members[MANIFEST]


def outside(members: dict[str, bytes]) -> None:
    document = json.loads(members[MANIFEST])
    document["tools"][0]["files"]["../../elsewhere"] = "0" * 64
    members[MANIFEST] = json.dumps(document).encode()


def of_later_format(members: dict[str, bytes]) -> None:
    members[MANIFEST] = json.dumps({**json.loads(members[MANIFEST]), "format": 2}).encode()


def of_another_system(members: dict[str, bytes]) -> None:
    members[MANIFEST] = json.dumps({**json.loads(members[MANIFEST]), "system": "plan9/mips"}).encode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (damaged, "hello/bin/greet is damaged"),
        (lacking, "hello/bin/greet is missing"),
        (with_another, "hello/bin/other is not named by its document"),
        (without_document, "it does not begin with antenna-tools.json"),
        (outside, "is no place in the cache"),
        (of_later_format, "its format is 2; this version knows 1"),
        (of_another_system, "these tools are for plan9/mips"),
    ],
)
def test_a_file_that_is_not_as_it_says_is_refused_whole(
    hello: Tool, file: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], told: str
) -> None:
    rewritten(file, change)
    with pytest.raises(ToolError, match=told):
        carry.take(file, None, quiet, [hello])
    assert nothing_is_left(tmp_path)


def test_a_file_that_is_cut_is_refused_whole(hello: Tool, file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) * 3 // 4):
        file.write_bytes(content[:length])
        with pytest.raises(ToolError, match=r"tools\.tar\.gz"):
            carry.take(file, None, quiet, [hello])
        assert nothing_is_left(tmp_path)


def test_tools_of_another_version_are_refused(hello: Tool, file: Path, tmp_path: Path) -> None:
    (hello.source / "main.go").write_text(HELLO.replace("hello", "goodbye"))
    with pytest.raises(ToolError, match=r"is not what this version of the project uses.*Next: "):
        carry.take(file, None, quiet, [hello])
    with pytest.raises(ToolError, match=r"hello v1\.0\.0 is not what this version"):
        carry.take(file, None, quiet, [])
    assert nothing_is_left(tmp_path)


def test_what_is_not_built_is_not_exported(hello: Tool, tmp_path: Path) -> None:
    other = replace(hello, symbols={"main.greeting": "hi"})
    with pytest.raises(ToolError, match=r"hello: not built yet.*antenna tools build"):
        carry.export(tmp_path / "tools.tar.gz", quiet, [other])
    assert not (tmp_path / "tools.tar.gz").exists()
