"""The builder, with a small Go module of the tests' own: no network is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.tools.build import binary, build, content_hash, directory
from infra.tools.failure import ToolError
from infra.tools.pins import TOOLS, Tool, tool
from infra.tools.progress import Progress
from infra.tools.toolchain import Toolchain, choose, directive, parse_version
from tests.unit.hello_tool import GO_MOD, HELLO, hello_tool

BUILD_IN_ANOTHER_PROCESS = """
import signal
import sys
from pathlib import Path
from infra.tools.build import build
from infra.tools.pins import Tool
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
tool = Tool(Path(sys.argv[1]), "example.org/hello", "v1.0.0", {"example.org/hello": "greet"}, seconds=2)
build([tool], lambda progress: print(progress, flush=True))
"""

SLOW_GO = """#!/bin/sh
# A Go that takes its time: says when it has begun, then waits until it may go on.
if [ "$1" = build ]; then
    echo begun >> "{folder}/begun"
    while [ ! -e "{folder}/go-on" ]; do sleep 0.05; done
fi
exec "{go}" "$@"
"""


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A tool of one small program, and a cache of its own."""
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "cache"))
    return hello_tool(tmp_path)


@pytest.fixture
def slow_go(tmp_path: Path) -> Iterator[Path]:
    """A folder to put in front of PATH, with a Go that waits; nothing it started is left behind."""
    folder = tmp_path / "slow"
    folder.mkdir()
    go = choose("test", _go_mod(tmp_path)).go
    (folder / "go").write_text(SLOW_GO.format(folder=folder, go=go))
    (folder / "go").chmod(0o755)
    yield folder
    (folder / "go-on").touch()


def test_what_is_built_runs_and_has_the_name_of_the_table(hello: Tool) -> None:
    build([hello], lambda _: None)
    assert _run(binary(hello, "greet")) == "hello"


def test_what_is_built_once_is_not_built_again(hello: Tool) -> None:
    seen: list[Progress] = []
    build([hello], seen.append)
    assert seen[-1].finished
    assert seen[0].expected == hello.seconds
    seen.clear()
    build([hello], seen.append)
    assert seen == []


def test_a_build_leaves_nothing_beside_the_binaries(hello: Tool) -> None:
    before = sorted(hello.source.iterdir())
    build([hello], lambda _: None)
    assert sorted(hello.source.iterdir()) == before
    assert [p.name for p in directory(hello).rglob("*")] == ["bin", "greet"]
    assert not list(directory(hello).parent.glob(".*.making"))


def test_other_content_is_another_build_and_the_old_one_stays(hello: Tool) -> None:
    build([hello], lambda _: None)
    old = binary(hello, "greet")
    (hello.source / "main.go").write_text(HELLO.replace('"hello"', '"goodbye"'))
    assert not binary(hello, "greet").exists()
    build([hello], lambda _: None)
    assert _run(binary(hello, "greet")) == "goodbye"
    assert _run(old) == "hello"


def test_flags_toolchain_and_binaries_are_content(hello: Tool) -> None:
    old, new = Toolchain(Path("go"), "go1.26.8 linux/amd64"), Toolchain(Path("go"), "go1.27.3 linux/amd64")
    hashes = {
        content_hash(hello, old),
        content_hash(hello, new),
        content_hash(replace(hello, symbols={"main.greeting": "hi"}), old),
        content_hash(replace(hello, binaries={"example.org/hello": "hail"}), old),
    }
    assert len(hashes) == 4
    assert content_hash(hello, Toolchain(Path("/elsewhere/go"), old.banner)) == content_hash(hello, old)


def test_the_same_content_gives_the_same_bytes(
    hello: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build([hello], lambda _: None)
    first = binary(hello, "greet").read_bytes()
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "another"))
    build([hello], lambda _: None)
    assert binary(hello, "greet").read_bytes() == first


def test_symbols_are_linked_in(hello: Tool) -> None:
    stamped = replace(hello, symbols={"main.greeting": "stamped"})
    build([stamped], lambda _: None)
    assert _run(binary(stamped, "greet")) == "stamped"


def test_two_builds_at_once_build_once_and_the_second_says_whom_it_waits_for(
    hello: Tool, slow_go: Path
) -> None:
    first = _start(hello, slow_go)
    _wait_for(slow_go / "begun")
    second = _start(hello, slow_go)
    assert second.stdout is not None
    line = second.stdout.readline()
    assert f"waiting for process {first.pid}" in line
    (slow_go / "go-on").touch()
    assert first.communicate(timeout=60)[0]
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (slow_go / "begun").read_text() == "begun\n"


def test_after_kill_9_nothing_runs_on_and_the_next_build_completes(hello: Tool, slow_go: Path) -> None:
    killed = _start(hello, slow_go)
    _wait_for(slow_go / "begun")
    scratch = _cache_tools() / ".hello.making"
    assert scratch.is_dir()
    (compiler,) = _children(killed.pid)
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=10)
    _wait_until(lambda: not _alive(compiler), "Go ran on after its builder was killed")
    (slow_go / "go-on").touch()
    build([hello], lambda _: None)
    assert _run(binary(hello, "greet")) == "hello"
    assert not scratch.exists()


def test_what_was_built_before_the_kill_is_not_built_again(hello: Tool, tmp_path: Path) -> None:
    build([hello], lambda _: None)
    other = tmp_path / "other"
    other.mkdir()
    (other / "go.mod").write_text(GO_MOD)
    (other / "main.go").write_text(HELLO)
    seen: list[Progress] = []
    build([hello, replace(hello, source=other)], seen.append)
    assert {(p.name, p.number, p.count) for p in seen} == {("other", 1, 1)}


def test_an_interrupted_build_stops_go_and_clears_up(hello: Tool, slow_go: Path) -> None:
    interrupted = _start(hello, slow_go)
    _wait_for(slow_go / "begun")
    (compiler,) = _children(interrupted.pid)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(timeout=10) != 0
    assert not _alive(compiler)
    assert not (_cache_tools() / ".hello.making").exists()


def test_a_failing_build_gives_one_message_with_tool_reason_and_log(hello: Tool) -> None:
    (hello.source / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(ToolError) as failure:
        build([hello], lambda _: None)
    message = str(failure.value)
    assert message.startswith("hello v1.0.0 could not be built:")
    assert "undefined: undefined" in message
    log = Path(message.rpartition("Full log: ")[2])
    assert "undefined: undefined" in log.read_text()
    assert not list(directory(hello).parent.glob("*hello*/"))


def test_a_module_that_go_sum_does_not_vouch_for_is_refused(hello: Tool) -> None:
    with (hello.source / "go.mod").open("a") as go_mod:
        go_mod.write("\nrequire golang.org/x/text v0.20.0\n")
    (hello.source / "main.go").write_text('package main\n\nimport _ "golang.org/x/text"\n\nfunc main() {}\n')
    with pytest.raises(ToolError, match=r"missing go.sum entry|no required module"):
        build([hello], lambda _: None)
    assert "x/text" in (hello.source / "go.mod").read_text()
    assert not (hello.source / "go.sum").exists()


def test_the_wheel_s_go_is_taken_where_the_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert choose("test", _go_mod(tmp_path)).go.parent == Path(sys.executable).parent


def test_the_same_go_is_found_with_the_virtual_environment_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_mod = _go_mod(tmp_path)
    without = choose("test", go_mod)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert choose("test", go_mod) == without


def test_an_old_go_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "go"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho go version go1.2.3 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent), prepend=os.pathsep)
    chosen = choose("test", _go_mod(tmp_path))
    assert chosen.go != old
    assert chosen.version >= (1, 26)


def test_no_go_new_enough_is_one_message_that_names_what_was_found(tmp_path: Path) -> None:
    go_mod = _go_mod(tmp_path, "9.9.9")
    with pytest.raises(ToolError, match=r"test needs Go 9\.9\.9 or newer; this machine has .*go1\."):
        choose("test", go_mod)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("1.26", (1, 26)),
        ("go1.27rc1", (1, 27)),
        ("devel", ()),
    ],
)
def test_versions_are_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_table_and_the_folder_say_the_same(tool: Tool) -> None:
    go_mod = (tool.source / "go.mod").read_text()
    assert directive(go_mod) != "1.16"
    if tool.module.startswith("antenna.be/"):
        assert f"module {tool.module}\n" in go_mod
        return
    assert f"{tool.module} {tool.version}" in go_mod
    named = [line.split()[-1] for line in go_mod.splitlines() if line.startswith(("tool ", "\t"))]
    ours = {f"antenna.be/tools/{tool.name}"} if (tool.source / "main.go").exists() else set()
    assert set(tool.binaries) <= {*named, *ours}
    assert f"{tool.module} {tool.version} h1:" in (tool.source / "go.sum").read_text()


@pytest.mark.parametrize("other", ["coredns", "network_policy"])
def test_what_another_tool_shares_with_kubernetes_is_of_one_version_and_so_compiled_once(other: str) -> None:
    ours, theirs = (_versions(tool(name).source / "go.mod") for name in (other, "kubernetes"))
    # Kubernetes builds nothing of caddy: an older one stands in its go.mod for its tests.
    shared = (ours.keys() & theirs.keys()) - {"github.com/coredns/caddy"}
    assert "k8s.io/client-go" in shared
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def _versions(go_mod: Path) -> dict[str, str]:
    """Module -> version."""
    lines = (line.split() for line in go_mod.read_text().splitlines() if line.startswith("\t"))
    return {words[0]: words[1] for words in lines if words[1].startswith("v")}


SLOWED_GO = """#!/bin/sh
# A Go whose compiler takes half a second more for each package.
if [ "$1" = build ]; then
    shift
    exec "{go}" build -toolexec "{folder}/slowly" "$@"
fi
exec "{go}" "$@"
"""

SLOWLY = """#!/bin/sh
case "$1 $2" in
*/compile\\ -V*) ;;
*/compile*) sleep 0.5 ;;
esac
exec "$@"
"""


def test_the_time_left_is_told_from_how_fast_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that is many times slower than the table says: right within a quarter from a third on."""
    folder, source = tmp_path / "slowed", tmp_path / "many"
    folder.mkdir()
    names = [f"part{number}" for number in range(40)]
    for name in names:
        (source / name).mkdir(parents=True)
        functions = "".join(f"func F{number}(x int) int {{ return x * {number} }}\n" for number in range(50))
        (source / name / "part.go").write_text(
            f'package {name}\n\nimport _ "fmt"\n\n// {tmp_path}\n{functions}'
        )
    imported = "".join(f'\t_ "example.org/hello/{name}"\n' for name in names)
    (source / "main.go").write_text(f"package main\n\nimport (\n{imported})\n\nfunc main() {{}}\n")
    (source / "go.mod").write_text(GO_MOD)
    go = choose("test", source / "go.mod").go
    for name, text in (("go", SLOWED_GO), ("slowly", SLOWLY)):
        (folder / name).write_text(text.format(go=go, folder=folder) if name == "go" else text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path / "cache"))

    seen: list[Progress] = []
    build(
        [Tool(source, "example.org/hello", "v1.0.0", {"example.org/hello": "many"}, seconds=1)], seen.append
    )
    whole = seen[-1].elapsed
    assert whole > 8
    told = [(p.elapsed, p.left) for p in seen[:-1] if p.elapsed > whole / 3]
    assert len(told) > 4
    # It is told once a second, and at the end a program is linked.
    wrong = [(at, left) for at, left in told if abs(left - (whole - at)) > 0.25 * (whole - at) + 2]
    # What else the host does may come or go in a moment; the next ones are right again.
    assert len(wrong) <= len(told) / 5, (whole, wrong)


def _start(hello: Tool, slow_go: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD_IN_ANOTHER_PROCESS, str(hello.source)],
        env=os.environ | {"PATH": f"{slow_go}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _cache_tools() -> Path:
    return Path(os.environ["ANTENNA_CACHE"]) / "tools"


def _go_mod(folder: Path, version: str = "1.26.0") -> Path:
    path = folder / "go.mod"
    path.write_text(f"module example.org/x\n\ngo {version}\n")
    return path


def _run(program: Path) -> str:
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).strip()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(path: Path) -> None:
    _wait_until(path.exists, f"{path} did not appear")


def _wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
