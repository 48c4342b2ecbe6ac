#!/usr/bin/env bash
# pulumi 3.272.0 (Python SDK): each resource that a program declares costs about four calls to the engine that carry
# a debug message, beside the one that registers it. The SDK waits for the answer to each on the thread of the
# program, whether or not anybody asked for debug messages, so that there are four times as many waits as resources: a
# message to the engine is built, sent and answered only to be thrown away there.
# Fails when that is no longer so. Needs python3 with venv, and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "pulumi==3.272.0"

cat >engine.py <<'PYTHON'
"""An engine and resource monitor that take what they are told and count it, and a program of 50 resources."""
import asyncio, collections, time
from concurrent import futures
import grpc, pulumi, pulumi.runtime
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc

counts, seconds = collections.Counter(), collections.Counter()

class Engine(engine_pb2_grpc.EngineServicer):
    def Log(self, request, context):
        counts[engine_pb2.LogSeverity.Name(request.severity)] += 1
        return empty_pb2.Empty()
    def GetRootResource(self, request, context):
        return engine_pb2.GetRootResourceResponse()
    def SetRootResource(self, request, context):
        return engine_pb2.SetRootResourceResponse()

class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    def SupportsFeature(self, request, context):
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)
    def RegisterResource(self, request, context):
        counts["registrations"] += 1
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:s::p::{request.type}::{request.name}", id="1", object=request.object)
    def RegisterResourceOutputs(self, request, context):
        return empty_pb2.Empty()
    def SignalAndWaitForShutdown(self, request, context):
        return empty_pb2.Empty()

server = grpc.server(futures.ThreadPoolExecutor(16))
engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()

class Thing(pulumi.CustomResource):
    def __init__(self, name):
        super().__init__("example:index:Thing", name, {"size": 1})

def program():
    for number in range(50):
        Thing(f"thing-{number}")

pulumi.runtime.configure(pulumi.runtime.Settings(project="p", stack="s", monitor=address, engine=address, dry_run=False))
asyncio.new_event_loop().run_until_complete(pulumi.runtime.run_in_stack(program))
print(counts["registrations"], counts["DEBUG"])
PYTHON

read -r registrations debug < <(venv/bin/python engine.py 2>err.txt | tail -1) || { cat err.txt; exit 1; }
echo "pulumi 3.272.0, a program of 50 resources: $registrations registrations, $debug calls with a debug message"
[ "$registrations" -ge 50 ] || { echo "the program did not run"; cat err.txt; exit 1; }
[ "$debug" -ge $((registrations * 3)) ] || { echo "changed: fewer debug messages are sent"; exit 1; }
