"""Starts providers: from their folder, in a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import yaml
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.engine import config
from infra.engine.errors import PluginError
from infra.engine.plugin import Plugin, message_of
from infra.engine.process import Process

_MESSAGE_SIZE = 400 * 1024 * 1024
_CHANNEL = [
    ("grpc.max_receive_message_length", _MESSAGE_SIZE),
    ("grpc.max_send_message_length", _MESSAGE_SIZE),
]


def start(
    package: str,
    project: config.Project,
    engine_address: str,
    *,
    environ: Mapping[str, str],
    log: Callable[[str], None],
) -> Plugin:
    """Start a provider of the project and shake hands. Raises PluginError."""
    if package not in project.providers:
        raise PluginError(
            f"no provider {package!r}: Pulumi.yaml names none under plugins.providers, "
            "and this engine downloads none"
        )
    folder = project.providers[package]
    description = folder / "PulumiPlugin.yaml"
    try:
        runtime = yaml.safe_load(description.read_text())["runtime"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise PluginError(f"provider {package}: {description} cannot be read: {error}") from error
    options = runtime.get("options", {}) if isinstance(runtime, dict) else {}
    if (runtime.get("name") if isinstance(runtime, dict) else runtime) != "python":
        raise PluginError(f"provider {package}: {description}: runtime must be python")
    named = options.get("virtualenv")
    python = config.interpreter(folder, named) if named else project.python
    child = Process([str(python), "-u", str(folder), engine_address], project.directory, environ, log)
    port = child.first_line()
    if not port.isdigit():
        child.stop()
        raise PluginError(f"provider {package} did not start (exit status {child.status}); it said: {port!r}")
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_CHANNEL)
    stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
    plugin = Plugin(stub, child, package)
    try:
        grpc.channel_ready_future(channel).result(timeout=30)
        stub.Handshake(
            provider_pb2.ProviderHandshakeRequest(
                engine_address=engine_address,
                root_directory=str(folder),
                program_directory=str(folder),
                configure_with_urn=True,
            )
        )
    except grpc.FutureTimeoutError as error:
        plugin.close()
        raise PluginError(f"provider {package} does not answer on port {port}") from error
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            plugin.close()
            raise PluginError(f"provider {package}: {message_of(error)}") from error
    return plugin
