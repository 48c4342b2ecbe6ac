"""What the program wants of one resource."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pulumi.runtime.proto import resource_pb2

from infra.engine import urn as urns
from infra.engine.errors import UnsupportedError
from infra.engine.properties import (
    ARCHIVE,
    ASSET,
    Properties,
    contains,
    lower_outputs,
    output_dependencies,
    signature,
)
from infra.engine.wire import from_struct

_TIMEOUT_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Alias:
    """An earlier identity of a resource: a whole URN, or the parts of it that differed."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


@dataclass(frozen=True)
class Goal:
    """A registration of the program. `protect` and `retain_on_delete` are None where it left them open."""

    type: str
    name: str
    custom: bool
    parent: str
    inputs: Properties
    dependencies: tuple[str, ...]
    property_dependencies: Mapping[str, list[str]]
    provider: str
    providers: Mapping[str, str]
    version: str
    protect: bool | None
    retain_on_delete: bool | None
    delete_before_replace: bool | None
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    aliases: tuple[Alias, ...]
    import_id: str
    custom_timeouts: Mapping[str, float]
    deleted_with: str
    hide_diff: tuple[str, ...]
    source_position: str
    stack_trace: tuple[str, ...]


def from_request(request: resource_pb2.RegisterResourceRequest, root: Path) -> Goal:
    """Read a registration. Raises UnsupportedError for what only the official engine does."""
    _refuse_unsupported(request)
    properties = from_struct(request.object)
    dependencies = set(request.dependencies)
    if request.propertyDependencies:
        by_property = {key: set(value.urns) for key, value in request.propertyDependencies.items()}
    else:
        by_property = {key: set(dependencies) for key in properties}
    for key, value in properties.items():
        by_property.setdefault(key, set()).update(output_dependencies(value))
    if contains(properties, lambda value: signature(value) in (ASSET, ARCHIVE)):
        raise UnsupportedError(f"{request.name}: assets and archives need the official engine")
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent,
        inputs={key: lower_outputs(value) for key, value in properties.items()},
        dependencies=tuple(sorted(dependencies)),
        property_dependencies={key: sorted(urns_) for key, urns_ in by_property.items()},
        provider=request.provider,
        providers=dict(request.providers),
        version=request.version,
        protect=_optional(request, "protect"),
        retain_on_delete=_optional(request, "retainOnDelete"),
        delete_before_replace=(
            request.deleteBeforeReplace
            if request.deleteBeforeReplaceDefined or request.deleteBeforeReplace
            else None
        ),
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=(
            *(Alias(urn=urn) for urn in request.aliasURNs),
            *(_alias(alias) for alias in request.aliases),
        ),
        import_id=request.importId,
        custom_timeouts=_timeouts(request),
        deleted_with=request.deletedWith,
        hide_diff=tuple(request.hideDiffs),
        source_position=_position(request.sourcePosition, root),
        stack_trace=tuple(_position(frame.pc, root) for frame in request.stackTrace.frames),
    )


def inherit(goal: Goal, parent: Goal) -> Goal:
    """Take from the parent what the program left open."""
    provider = goal.provider
    if not provider and parent.provider:
        package = urns.package_of(urns.type_of(parent.provider.rpartition("::")[0]))
        if not goal.custom or package == urns.package_of(goal.type):
            provider = parent.provider
    return replace(
        goal,
        deleted_with=goal.deleted_with or parent.deleted_with,
        protect=parent.protect if goal.protect is None else goal.protect,
        retain_on_delete=parent.retain_on_delete if goal.retain_on_delete is None else goal.retain_on_delete,
        provider=provider,
    )


def default_provider(package: str, version: str, inputs: Properties) -> Goal:
    """Return the registration of the provider that resources get that name none."""
    suffix = "_" + re.sub(r"[^A-Za-z0-9]", "_", version) if version else ""
    return Goal(
        type=urns.PROVIDER_PREFIX + package,
        name=f"default{suffix}",
        custom=True,
        parent="",
        inputs={**inputs, "version": version} if version else inputs,
        dependencies=(),
        property_dependencies={},
        provider="",
        providers={},
        version=version,
        protect=None,
        retain_on_delete=None,
        delete_before_replace=None,
        ignore_changes=(),
        replace_on_changes=(),
        additional_secret_outputs=(),
        aliases=(),
        import_id="",
        custom_timeouts={},
        deleted_with="",
        hide_diff=(),
        source_position="",
        stack_trace=(),
    )


def _refuse_unsupported(request: resource_pb2.RegisterResourceRequest) -> None:
    hooks = request.hooks
    asked = {
        "remote components": request.remote,
        "transforms": bool(request.transforms),
        "resource hooks": any(getattr(hooks, field.name) for field in hooks.DESCRIPTOR.fields),
        "replaceWith": bool(request.replace_with),
        "replacementTrigger": request.HasField("replacement_trigger"),
        "parameterized providers": bool(request.packageRef),
        "state migrations": bool(request.state_migrations),
        "environment mappings of providers": bool(request.envVarMappings),
        "plugin download URLs": bool(request.pluginDownloadURL),
    }
    unsupported = [what for what, wanted in asked.items() if wanted]
    if unsupported:
        raise UnsupportedError(
            f"{request.name}: {', '.join(unsupported)}: only the official engine does this"
        )


def _optional(request: resource_pb2.RegisterResourceRequest, field: str) -> bool | None:
    return bool(getattr(request, field)) if request.HasField(field) else None  # type: ignore[arg-type]


def _alias(alias: Any) -> Alias:
    if alias.HasField("urn"):
        return Alias(urn=alias.urn)
    spec = alias.spec
    return Alias(
        name=spec.name,
        type=spec.type,
        stack=spec.stack,
        project=spec.project,
        parent=spec.parentUrn,
        no_parent=spec.noParent,
    )


def _timeouts(request: resource_pb2.RegisterResourceRequest) -> dict[str, float]:
    given = request.customTimeouts
    named = {"create": given.create, "update": given.update, "delete": given.delete, "read": given.read}
    return {name: _seconds(text) for name, text in named.items() if text}


def _seconds(text: str) -> float:
    """Read a duration such as ``1h30m`` or ``2.5s``."""
    parts = re.findall(r"(\d+(?:\.\d*)?)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UnsupportedError(f"not a duration: {text!r} (write 30s, 5m, 1h30m)")
    return sum(float(number) * _TIMEOUT_UNITS[unit] for number, unit in parts)


def _position(position: Any, root: Path) -> str:
    """Write a place in the program relative to the project: a state does not tell where the clone lies."""
    path = Path(position.uri.removeprefix("file://"))
    if not position.uri:
        return ""
    column = f",{position.column}" if position.column else ""
    return f"project:///{os.path.relpath(path, root)}#{position.line}{column}"
