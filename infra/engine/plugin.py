"""A provider: its process, and the calls of Pulumi's provider protocol with plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from infra.engine import urn as urns
from infra.engine.process import Process
from infra.engine.properties import (
    Properties,
    contains,
    is_unknown,
    mark_secrets,
    reveal,
)
from infra.engine.state import Resource
from infra.engine.wire import from_struct, to_struct


class ProviderFailedError(Exception):
    """A provider's call failed. `reasons` and `state` are there when the resource exists but is not well."""

    def __init__(self, message: str, state: Live | None = None, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.state = state
        self.reasons = reasons


@dataclass(frozen=True)
class Live:
    """A resource as its provider sees it."""

    id: str
    outputs: Properties
    inputs: Properties | None = None


@dataclass(frozen=True)
class Diff:
    """What a provider says of two states. `changes` is None when it leaves the answer to the engine."""

    changes: bool | None
    replaces: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    delete_before_replace: bool = False
    detailed: Mapping[str, tuple[str, bool]] = field(default_factory=dict)  # path -> (kind, of an input)


class Plugin:
    """A running provider. Every method raises ProviderFailedError when the provider says no."""

    def __init__(self, stub: Any, child: Process, package: str) -> None:
        self._stub = stub
        self._child = child
        self._package = package
        self._accepts_secrets = False
        self._previews = True
        self._known = True

    def check_config(
        self, urn: str, old: Properties, new: Properties
    ) -> tuple[Properties, list[tuple[str, str]]]:
        """Validate the provider's own configuration."""
        request = provider_pb2.CheckRequest(
            urn=urn, name=urns.name_of(urn), type=urns.type_of(urn), olds=to_struct(old), news=to_struct(new)
        )
        try:
            response = self._call("CheckConfig", request)
        except NotImplementedError:
            return new, []
        failures = [(failure.property, failure.reason) for failure in response.failures]
        return from_struct(response.inputs), failures

    def diff_config(self, urn: str, old: Properties, new: Properties) -> Diff:
        """Compare two configurations of the provider."""
        request = provider_pb2.DiffRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            olds=to_struct(old),
            news=to_struct(new),
            old_inputs=to_struct(old),
        )
        try:
            diff = _diff(self._call("DiffConfig", request))
        except NotImplementedError:
            diff = Diff(changes=None)
        if diff.changes is None:
            return Diff(changes=old != new)
        return diff

    def configure(self, urn: str, id_: str, inputs: Properties) -> None:
        """Give the provider its configuration; unknown values leave it unconfigured, for a preview."""
        if contains(inputs, is_unknown):
            self._known = False
            return
        variables = {
            f"{self._package}:config:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in reveal(inputs).items()
            if key != "version"
        }
        request = provider_pb2.ConfigureRequest(
            variables=variables,
            args=to_struct(inputs),
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            id=id_,
        )
        response = self._call("Configure", request)
        self._accepts_secrets = response.acceptSecrets
        self._previews = response.supportsPreview

    def check(
        self, urn: str, old: Properties | None, new: Properties, seed: bytes
    ) -> tuple[Properties, list[tuple[str, str]]]:
        """Validate inputs; returns them as they are to be used, and what is wrong with which property."""
        if not self._known:
            return new, []
        request = provider_pb2.CheckRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            olds=self._struct(old) if old is not None else None,
            news=self._struct(new),
            randomSeed=seed,
        )
        response = self._call("Check", request)
        failures = [(failure.property, failure.reason) for failure in response.failures]
        return self._properties(response.inputs, new), failures

    def diff(self, old: Resource, inputs: Properties) -> Diff:
        """Compare the resource's last state with new inputs; its ignoreChanges are the provider's to heed."""
        request = provider_pb2.DiffRequest(
            id=old.id,
            urn=old.urn,
            name=old.name,
            type=old.type,
            old_inputs=self._struct(old.inputs),
            olds=self._struct(old.outputs),
            news=self._struct(inputs),
            ignoreChanges=old.ignore_changes,
        )
        return _diff(self._call("Diff", request))

    def create(self, urn: str, inputs: Properties, timeout: float, preview: bool) -> Live:
        """Make the resource."""
        if preview and not self._known:
            return Live("", {})
        if preview and not self._previews:
            return Live("", inputs)
        request = provider_pb2.CreateRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            properties=self._struct(inputs),
            timeout=timeout,
            preview=preview,
        )
        response = self._call("Create", request, inputs)
        if not response.id and not preview:
            raise ProviderFailedError("the provider returned no id")
        return Live(response.id, self._properties(response.properties, inputs))

    def read(self, urn: str, id_: str, inputs: Properties | None, state: Properties | None) -> Live | None:
        """Look the resource up; None when it is gone."""
        request = provider_pb2.ReadRequest(
            id=id_,
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            inputs=self._struct(inputs) if inputs is not None else None,
            properties=self._struct(state or {}),
        )
        response = self._call("Read", request, inputs)
        if not response.id:
            return None
        known = inputs or {}
        live_inputs = self._properties(response.inputs, known) if response.HasField("inputs") else None
        return Live(response.id, self._properties(response.properties, known), live_inputs)

    def update(self, old: Resource, new: Resource, *, preview: bool) -> Properties:
        """Change the resource in place; returns its outputs."""
        if preview and not (self._known and self._previews):
            return new.inputs
        request = provider_pb2.UpdateRequest(
            id=old.id,
            urn=new.urn,
            name=new.name,
            type=new.type,
            old_inputs=self._struct(old.inputs),
            olds=self._struct(old.outputs),
            news=self._struct(new.inputs),
            ignoreChanges=new.ignore_changes,
            timeout=new.custom_timeouts.get("update", 0),
            preview=preview,
        )
        return self._properties(self._call("Update", request, new.inputs).properties, new.inputs)

    def delete(self, urn: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Remove the resource."""
        request = provider_pb2.DeleteRequest(
            id=id_,
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            properties=self._struct(outputs),
            old_inputs=self._struct(inputs),
            timeout=timeout,
        )
        self._call("Delete", request)

    def cancel(self) -> None:
        """Ask the provider to break off what it is doing."""
        try:
            self._call("Cancel", empty_pb2.Empty())
        except (NotImplementedError, ProviderFailedError):
            return

    def close(self) -> None:
        """End the provider's process."""
        self._child.stop()

    def _struct(self, properties: Properties) -> Any:
        return to_struct(properties if self._accepts_secrets else reveal(properties))

    def _properties(self, struct: Any, inputs: Properties) -> Properties:
        """Read what a provider returned; one that cannot tell secrets gets them marked after its inputs."""
        properties = from_struct(struct)
        return properties if self._accepts_secrets else mark_secrets(properties, inputs, [])

    def _call(self, method: str, request: Any, inputs: Properties | None = None) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise NotImplementedError(method) from error
            raise self._failure(error, inputs or {}) from error

    def _failure(self, error: grpc.RpcError, inputs: Properties) -> ProviderFailedError:
        if error.code() == grpc.StatusCode.UNAVAILABLE and self._child.status is not None:
            return ProviderFailedError(
                f"the provider {self._package} ended unexpectedly ({self._child.status})"
            )
        detail = _init_failure(error)
        if detail is None:
            return ProviderFailedError(message_of(error))
        live = Live(
            detail.id,
            self._properties(detail.properties, inputs),
            self._properties(detail.inputs, inputs) if detail.HasField("inputs") else None,
        )
        return ProviderFailedError(
            "\n".join(detail.reasons) or message_of(error), live, tuple(detail.reasons)
        )


def _diff(response: provider_pb2.DiffResponse) -> Diff:
    kinds = provider_pb2.PropertyDiff.Kind
    detailed = {
        path: (kinds.Name(entry.kind).lower(), entry.inputDiff)
        for path, entry in response.detailedDiff.items()
    }
    forcing = [path for path, (kind, _) in detailed.items() if kind.endswith("_replace")]
    return Diff(
        changes={
            provider_pb2.DiffResponse.DIFF_SOME: True,
            provider_pb2.DiffResponse.DIFF_NONE: False,
        }.get(response.changes),
        replaces=list(dict.fromkeys((*response.replaces, *forcing))),
        changed=list(response.diffs),
        delete_before_replace=response.deleteBeforeReplace,
        detailed=detailed,
    )


def _init_failure(error: grpc.RpcError) -> provider_pb2.ErrorResourceInitFailed | None:
    """Return the protocol's detail of a resource that exists but failed to become well."""
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                found = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(found):
                    return found
    return None


def message_of(error: grpc.RpcError) -> str:
    """Return the provider's own words: the SDK's server adds the exception's class and a traceback."""
    text = str(error.details() or error.code().name)
    text = re.sub(r"^Unexpected <class '[^']*'>: ", "", text)
    return re.sub(r":\n  File .*", "", text, flags=re.DOTALL)
