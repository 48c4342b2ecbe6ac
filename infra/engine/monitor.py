"""What the program and the providers call: Pulumi's resource monitor and engine services.

The methods are named, and described, by the protocol.
"""

# ruff: noqa: D102, N802

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from infra.engine import goal as goals
from infra.engine import urn as urns
from infra.engine.config import ConfigValue
from infra.engine.deployment import Deployment
from infra.engine.errors import EngineError
from infra.engine.events import Diagnostic, Event, StepProgress
from infra.engine.plugin import ProviderFailedError
from infra.engine.properties import contains, is_unknown, lower_outputs
from infra.engine.run import RefusedError
from infra.engine.steps import HaltedError, Steps
from infra.engine.wire import from_struct, to_struct

# Every registration that waits for its step holds a thread; they are made when needed.
_THREADS = 1024
_MESSAGE_SIZE = 400 * 1024 * 1024
_SHUT_DOWN = "resource monitor shut down"

_FEATURES = {
    "secrets": resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    "resourceReferences": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    "outputValues": resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    "aliasSpecs": resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    "deletedWith": resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
}
_SEVERITIES = {
    engine_pb2.INFO: "info",
    engine_pb2.WARNING: "warning",
    engine_pb2.ERROR: "error",
}


class Server:
    """The gRPC server that both services share, on a free port of the loopback address."""

    def __init__(self, emit: Callable[[Event], None], halted: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(_THREADS)
        options = [
            ("grpc.max_receive_message_length", _MESSAGE_SIZE),
            ("grpc.max_send_message_length", _MESSAGE_SIZE),
        ]
        self._server = grpc.server(self._pool, options=options)
        engine_pb2_grpc.add_EngineServicer_to_server(_Engine(emit, halted), self._server)
        self._port = 0

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self._port}"

    def start(self, monitor: Monitor | None) -> None:
        """Listen; without a monitor only providers can call."""
        if monitor is not None:
            resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, self._server)
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.stop(grace=0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """The resource monitor: turns the program's calls into registrations of a deployment."""

    def __init__(
        self,
        deployment: Deployment,
        steps: Steps,
        root: Path,
        info: resource_pb2.DeploymentInfo,
        config: Mapping[str, ConfigValue],
    ) -> None:
        self._deployment = deployment
        self._steps = steps
        self._root = root
        self._info = info
        self._info.supportedFeatures.extend(_FEATURES.values())
        self._info.config.update({key: value.text for key, value in config.items()})
        self._info.configSecretKeys.extend(key for key, value in config.items() if value.secret)

    def GetDeploymentInfo(self, request: Any, context: grpc.ServicerContext) -> resource_pb2.DeploymentInfo:
        return self._info

    def SupportsFeature(
        self, request: resource_pb2.SupportsFeatureRequest, context: grpc.ServicerContext
    ) -> resource_pb2.SupportsFeatureResponse:
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURES)

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.ServicerContext
    ) -> resource_pb2.RegisterResourceResponse:
        try:
            goal = goals.from_request(request, self._root)
            registered = self._deployment.register(goal)
        except HaltedError:
            _shut_down(context)
        except (RefusedError, ProviderFailedError, EngineError) as error:
            self._refuse(request, str(error), context)
        except Exception as error:  # a mistake of the engine must not leave the program waiting
            self._refuse(request, f"internal error: {type(error).__name__}: {error}", context)
        resource = registered.resource
        outputs = resource.outputs if resource.custom else {}
        if not request.supportsPartialValues:
            outputs = {key: value for key, value in outputs.items() if not contains(value, is_unknown)}
        return resource_pb2.RegisterResourceResponse(
            urn=resource.urn,
            id=resource.id,
            object=to_struct(outputs),
            unknown=registered.unknown,
        )

    def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        outputs = {key: lower_outputs(value) for key, value in from_struct(request.outputs).items()}
        try:
            self._deployment.register_outputs(request.urn, outputs)
        except RefusedError as error:
            self._steps.fail(request.urn, "register", str(error))
            _shut_down(context)
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, f"the function {request.tok} (invoke)")

    def Call(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, f"the method {request.tok} (call)")

    def ReadResource(
        self, request: resource_pb2.ReadResourceRequest, context: grpc.ServicerContext
    ) -> NoReturn:
        _unsupported(context, f"reading the existing resource {request.name} (get)")

    def RegisterStackTransform(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, "a stack transform")

    def RegisterStackInvokeTransform(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, "an invoke transform")

    def RegisterResourceHook(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, "a resource hook")

    def RegisterPackage(self, request: Any, context: grpc.ServicerContext) -> NoReturn:
        _unsupported(context, f"the parameterized package {request.name}")

    def _refuse(
        self, request: resource_pb2.RegisterResourceRequest, message: str, context: grpc.ServicerContext
    ) -> NoReturn:
        info = self._info
        urn = urns.make(info.stack, info.project, request.parent, request.type, request.name)
        self._steps.fail(urn, "register", message)
        _shut_down(context)


class _Engine(engine_pb2_grpc.EngineServicer):
    """The engine service: logs, and the stack's URN."""

    def __init__(self, emit: Callable[[Event], None], halted: threading.Event) -> None:
        self._emit = emit
        self._halted = halted
        self._root_urn = ""

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        if request.severity == engine_pb2.DEBUG:
            return empty_pb2.Empty()  # the SDK tells of every call
        if request.ephemeral and request.urn:
            self._emit(StepProgress(request.urn, request.message))
        elif not (
            self._halted.is_set() and request.severity == engine_pb2.ERROR and _is_echo(request.message)
        ):
            self._emit(Diagnostic(_SEVERITIES[request.severity], request.message, request.urn or None))
        return empty_pb2.Empty()

    def GetRootResource(
        self, request: Any, context: grpc.ServicerContext
    ) -> engine_pb2.GetRootResourceResponse:
        return engine_pb2.GetRootResourceResponse(urn=self._root_urn)

    def SetRootResource(
        self, request: engine_pb2.SetRootResourceRequest, context: grpc.ServicerContext
    ) -> engine_pb2.SetRootResourceResponse:
        self._root_urn = request.urn
        return engine_pb2.SetRootResourceResponse()


def _is_echo(message: str) -> bool:
    """Tell whether the program only says that the engine has stopped, which was told already."""
    return "Resource monitor has terminated" in message or _SHUT_DOWN in message


def _shut_down(context: grpc.ServicerContext) -> NoReturn:
    # The SDK takes this status for the end of the operation and leaves quietly.
    context.abort(grpc.StatusCode.UNAVAILABLE, _SHUT_DOWN)
    raise AssertionError  # abort raises


def _unsupported(context: grpc.ServicerContext, what: str) -> NoReturn:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        f"the program uses {what}, which the embedded engine does not support; use the official Pulumi CLI",
    )
    raise AssertionError  # abort raises
