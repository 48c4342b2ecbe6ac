"""The provider as a process of its own, spoken to as an engine does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN as UNKNOWN_TEXT

from infra.paths import REPOSITORY
from infra.provider import servicer
from infra.provider.kind import UNKNOWN, Diff, ProviderError, Report
from infra.provider.values import from_struct, to_struct

URN = "urn:pulumi:t::antenna::antenna:site:Net$antenna:index:Network::net"
INPUTS = {"stack": "t", "bridge": "br-t", "cidr": "10.97.0.0/24", "gateway": "10.97.0.1", "routes": []}


class Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.logged: list[Any] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self.logged.append(request)
        return Empty()


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    server = grpc.server(ThreadPoolExecutor(4))
    servicer_ = Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(servicer_, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer_, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def provider(engine: tuple[Engine, str]) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    argv = [sys.executable, str(REPOSITORY / "infra/provider/__main__.py"), engine[1]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield provider_pb2_grpc.ResourceProviderStub(
            grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}")
        )
        process.kill()


def test_values_survive_the_protocol() -> None:
    value = {"n": 3, "f": 1.5, "b": True, "s": "x", "l": [1, {"k": UNKNOWN}], "m": {"k": "v"}}
    assert from_struct(to_struct(value)) == value
    assert isinstance(from_struct(to_struct({"n": 3}))["n"], int)


def test_nulls_are_left_out_and_secrets_are_seen_through() -> None:
    assert from_struct(to_struct({"a": None, "m": {"b": None}})) == {"m": {}}
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "v"}
    assert from_struct(to_struct({"s": secret})) == {"s": "v"}


def test_a_preview_returns_the_inputs_and_touches_nothing(
    provider: provider_pb2_grpc.ResourceProviderStub,
) -> None:
    inputs = to_struct({**INPUTS, "gateway": UNKNOWN})
    assert inputs.fields["gateway"].string_value == UNKNOWN_TEXT
    assert not provider.Check(proto.CheckRequest(urn=URN, news=inputs)).failures
    created = provider.Create(proto.CreateRequest(urn=URN, properties=inputs, preview=True))
    assert created.id == ""
    assert created.properties == inputs


def test_check_failures_name_the_property(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    answer = provider.Check(proto.CheckRequest(urn=URN, news=to_struct({**INPUTS, "gateway": "10.1.1.1"})))
    assert [(f.property, f.reason) for f in answer.failures] == [
        ("gateway", "10.1.1.1 is not inside 10.97.0.0/24")
    ]


def test_a_diff_says_what_is_replaced(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    old = to_struct(INPUTS)
    news = to_struct({**INPUTS, "cidr": UNKNOWN, "routes": [{"to": "10.98.0.0/24", "via": "10.97.0.2"}]})
    answer = provider.Diff(proto.DiffRequest(urn=URN, id="x", old_inputs=old, olds=old, news=news))
    assert answer.changes == proto.DiffResponse.DIFF_SOME
    assert list(answer.diffs) == ["cidr", "routes"]
    assert list(answer.replaces) == ["cidr"]
    assert answer.deleteBeforeReplace
    ignored = proto.DiffRequest(
        urn=URN, id="x", old_inputs=old, olds=old, news=news, ignoreChanges=["cidr", "routes"]
    )
    assert provider.Diff(ignored).changes == proto.DiffResponse.DIFF_NONE


def test_an_unknown_kind_is_one_clean_message(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        provider.Check(proto.CheckRequest(urn=URN.replace("Network", "Nothing"), news=to_struct({})))
    details = failed.value.details() or ""
    assert details.startswith("antenna:index:Nothing is not a resource kind")
    assert "Traceback" not in details


def test_progress_reaches_the_engine_beside_its_resource_and_an_error_is_its_message_alone(
    engine: tuple[Engine, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        token = "antenna:index:Network"  # noqa: S105

        def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
            report("half-way")
            raise ProviderError("eth0 is in the way; choose another range")

        def diff(self, old: dict[str, Any], state: dict[str, Any], new: dict[str, Any]) -> Diff:
            return Diff()

    monkeypatch.setattr(servicer.ProviderServicer, "_kind", lambda self, urn: Failing())
    server = grpc.server(ThreadPoolExecutor(2))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer.ProviderServicer(engine[1]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    with pytest.raises(grpc.RpcError) as failed:
        stub.Create(proto.CreateRequest(urn=URN, properties=to_struct(INPUTS)))
    assert failed.value.details() == "eth0 is in the way; choose another range"
    assert [(r.message, r.urn, r.ephemeral) for r in engine[0].logged] == [("half-way", URN, True)]
    server.stop(None)


def test_the_provider_ends_with_its_engine_and_what_it_detached_stays(tmp_path: Any) -> None:
    """A stand-in for the engine starts the provider, and is killed as `kill -9` of `up` does."""
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, sys.argv[1], '127.0.0.1:1'], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", script, str(REPOSITORY / "infra/provider/__main__.py")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as stand_in:
        assert stand_in.stdout is not None
        pid = int(stand_in.stdout.readline())
        os.kill(stand_in.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
