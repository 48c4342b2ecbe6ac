"""Pulumi's provider protocol on top of the kinds.

The protocol's own messages are used rather than ``pulumi.provider.experimental``'s wrapper of
them: that wrapper neither reads nor writes unknown values (previews need them), drops the old
inputs of a diff, and adds a traceback to every error message.
"""

# ruff: noqa: N802, D102 - the method names are the protocol's, and it documents them

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime import proto
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from infra.provider.kind import UNKNOWN, Diff, Kind, ProviderError, Report
from infra.provider.values import from_struct, to_struct

KINDS = {
    "antenna:index:Network": ("infra.provider.network", "Network"),
    "antenna:index:Machine": ("infra.provider.machine", "Machine"),
    "antenna:index:Link": ("infra.provider.link", "Link"),
    "antenna:index:Playbook": ("infra.provider.playbook", "Playbook"),
    "antenna:index:Objects": ("infra.provider.objects", "Objects"),
}
"""Token -> (module, class). Imported at first use: Ansible and Kubernetes take long to load."""

VERSION = "0.1.0"


class ProviderServicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one engine. Calls run side by side; the kinds hold no state between them."""

    def __init__(self, engine_address: str) -> None:
        self._engine = _connect(engine_address)
        self._cancelled = threading.Event()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return proto.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine = _connect(request.address)
        return Empty()

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return proto.GetSchemaResponse(schema=json.dumps({"name": "antenna", "version": VERSION}))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        # Without accept_secrets the engine marks an output secret where the input of that name was.
        return proto.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._cancelled.set()
        return Empty()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            inputs = from_struct(request.news)
            failures = self._kind(request.urn).check(inputs)
            return proto.CheckResponse(
                inputs=to_struct(inputs),
                failures=[proto.CheckFailure(property=name, reason=reason) for name, reason in failures],
            )

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            old_inputs, new_inputs = from_struct(request.old_inputs), from_struct(request.news)
            for name in request.ignoreChanges:
                _keep(name, old_inputs, new_inputs)
            diff = self._kind(request.urn).diff(old_inputs, from_struct(request.olds), new_inputs)
            return _diff_response(diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            inputs = from_struct(request.properties)
            if request.preview:
                return proto.CreateResponse(id="", properties=to_struct(inputs))
            _refuse_unknown(inputs)
            id, outputs = self._kind(request.urn).create(inputs, self._report(request.urn))
            return proto.CreateResponse(id=id, properties=to_struct(outputs))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            found = self._kind(request.urn).read(
                request.id,
                from_struct(request.inputs),
                from_struct(request.properties),
                self._report(request.urn),
            )
            if found is None:
                return proto.ReadResponse(id="")
            id, inputs, outputs = found
            return proto.ReadResponse(id=id, inputs=to_struct(inputs), properties=to_struct(outputs))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            old_state, new_inputs = from_struct(request.olds), from_struct(request.news)
            if request.preview:
                return proto.UpdateResponse(properties=to_struct({**old_state, **new_inputs, "drift": []}))
            _refuse_unknown(new_inputs)
            outputs = self._kind(request.urn).update(
                request.id, from_struct(request.old_inputs), old_state, new_inputs, self._report(request.urn)
            )
            return proto.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _clean_errors(context):
            self._kind(request.urn).delete(
                request.id,
                from_struct(request.old_inputs),
                from_struct(request.properties),
                self._report(request.urn),
            )
            return Empty()

    def _kind(self, urn: str) -> Kind:
        token = urn.split("::")[2].rpartition("$")[2]
        if token not in KINDS:
            raise ProviderError(f"{token} is not a resource kind of this provider: {', '.join(KINDS)}")
        module, name = KINDS[token]
        kind: Kind = getattr(import_module(module), name)()
        return kind

    def _report(self, urn: str) -> Report:
        def report(line: str) -> None:
            if self._cancelled.is_set():
                raise ProviderError("stopped at your request; `antenna up` continues from here")
            message = engine_pb2.LogRequest(
                severity=engine_pb2.INFO, message=line, urn=urn, streamId=0, ephemeral=True
            )
            try:
                self._engine.Log(message, timeout=5)
            except grpc.RpcError:
                # Progress is for show; an engine that went away is noticed by its process ending.
                return

        return report


def _connect(address: str) -> engine_pb2_grpc.EngineStub:
    return engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))


@contextmanager
def _clean_errors(context: grpc.ServicerContext) -> Iterator[None]:
    """ProviderError -> its message alone. Anything else is a defect and keeps its traceback."""
    try:
        yield
    except ProviderError as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _keep(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Undo the change of a top-level property that the program told us to ignore."""
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)


def _refuse_unknown(inputs: dict[str, Any]) -> None:
    unknown = sorted(name for name, value in inputs.items() if _contains(value, lambda v: v is UNKNOWN))
    if unknown:
        raise ProviderError(f"inputs still unknown at the update: {', '.join(unknown)}")


def _contains(value: Any, matches: Callable[[Any], bool]) -> bool:
    if isinstance(value, dict):
        return any(_contains(v, matches) for v in value.values())
    if isinstance(value, list):
        return any(_contains(v, matches) for v in value)
    return matches(value)


def _diff_response(diff: Diff) -> Any:
    shown = diff.detailed or dict.fromkeys(diff.changes, "update")
    kinds = {
        "add": (proto.PropertyDiff.ADD, proto.PropertyDiff.ADD_REPLACE),
        "delete": (proto.PropertyDiff.DELETE, proto.PropertyDiff.DELETE_REPLACE),
        "update": (proto.PropertyDiff.UPDATE, proto.PropertyDiff.UPDATE_REPLACE),
    }
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if diff.changes else proto.DiffResponse.DIFF_NONE,
        diffs=diff.changes,
        replaces=diff.replaces,
        deleteBeforeReplace=diff.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            path: proto.PropertyDiff(
                kind=kinds[what][path.split(".")[0].split("[")[0] in diff.replaces], inputDiff=path != "drift"
            )
            for path, what in shown.items()
        },
    )
