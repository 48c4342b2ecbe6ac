"""The ``antenna`` provider's resource kinds as the program sees them. What they do is the provider's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import pulumi

from infra import site

SSH_PORT = 22


class Route(TypedDict):
    """A range, and the machine's address that leads to it."""

    to: str
    via: str


class Host(TypedDict):
    """One host of a play. ``host_key`` makes a machine that was made anew another host."""

    address: str
    user: str
    port: int
    groups: Sequence[str]
    vars: Mapping[str, Any]
    host_key: pulumi.Input[str]


class Manifest(TypedDict):
    """A YAML file of Kubernetes objects and the SHA-256 of its content, in hex."""

    path: str
    sha256: pulumi.Input[str]


class Network(pulumi.CustomResource):
    """A bridge on this host with an address in ``cidr``, and routes to the nodes' pods."""

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        bridge: str,
        cidr: str,
        gateway: str,
        routes: Sequence[Route],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"stack": stack, "bridge": bridge, "cidr": cidr, "gateway": gateway, "routes": routes}
        super().__init__("antenna:index:Network", name, {**props, "drift": None}, opts)


class Machine(pulumi.CustomResource):
    """A machine: made here (``driver`` nspawn) or adopted by its address (ssh).

    ``settings`` are the inputs of its driver: prefix_length, gateway, bridge, base and artifacts (digests)
    for nspawn; host_key and identity_file for ssh.
    """

    host_key: pulumi.Output[str]
    """The public key that the machine answers with; another one after it was made anew."""

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        driver: str,
        address: str,
        user: str,
        port: int,
        settings: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        outputs = {"host_key": None, "identity_file": None, "known_hosts": None, "drift": None}
        login = {"address": address, "user": user, "port": port}
        props = {**outputs, "stack": stack, "name": name, "driver": driver, **login, **settings}
        super().__init__("antenna:index:Machine", name, props, opts)


def host(
    machine: site.Machine, made: Machine, variables: Mapping[str, Any], groups: Sequence[str] = ()
) -> Host:
    """A machine as a host of a play, in its own groups and in these."""
    return {
        "address": str(machine.address),
        "user": machine.user or "root",
        "port": machine.port or SSH_PORT,
        "groups": [*machine.groups, *groups],
        "vars": variables,
        "host_key": made.host_key,
    }


class Login(TypedDict):
    """How a machine is reached over SSH. ``host_key`` makes a machine that was made anew another end."""

    address: str
    user: str
    port: int
    identity_file: pulumi.Input[str]
    known_hosts: pulumi.Input[str]
    host_key: pulumi.Input[str]


class Link(pulumi.CustomResource):
    """A WireGuard tunnel from ``gateway`` to ``endpoint``; keys are made on the machines and stay there.

    ``ports`` are the TCP ports that it is for; ``reaches`` the ranges beyond the endpoint; ``sources`` what
    the gateway forwards from, with ``mark`` on the packets. ``port`` is the endpoint's UDP port; rotations of
    keys use the next one too.
    """

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        link: str,
        gateway: Login,
        endpoint: Login,
        gateway_address: str,
        endpoint_address: str,
        port: int,
        keepalive_seconds: int,
        mtu: int,
        ports: Sequence[int],
        reaches: Sequence[str],
        sources: Sequence[str],
        mark: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "stack": stack,
            "name": link,
            "gateway": gateway,
            "endpoint": endpoint,
            "gateway_address": gateway_address,
            "endpoint_address": endpoint_address,
            "port": port,
            "keepalive_seconds": keepalive_seconds,
            "mtu": mtu,
            "ports": ports,
            "reaches": reaches,
            "sources": sources,
            "mark": mark,
            "gateway_key": None,
            "endpoint_key": None,
            "drift": None,
        }
        super().__init__("antenna:index:Link", name, props, opts)


class Playbook(pulumi.CustomResource):
    """An Ansible run over ``hosts``; hosts that leave are drained and removed by the play ``remove``.

    ``digest`` stands for everything that the run would do and that is in no other input. ``reset`` is the
    play that undoes it when the resource is deleted; None where the machines go anyway. ``remove`` None:
    hosts that leave are left alone.
    """

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        playbook: str,
        remove: str | None,
        reset: str | None,
        hosts: Mapping[str, Host],
        variables: Mapping[str, Any],
        digest: str,
        identity_file: str,
        known_hosts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "stack": stack,
            "playbook": playbook,
            "remove": remove,
            "reset": reset,
            "hosts": hosts,
            "vars": variables,
            "digest": digest,
            "identity_file": identity_file,
            "known_hosts": known_hosts,
            "recap": None,
            "drift": None,
        }
        super().__init__("antenna:index:Playbook", name, props, opts)


class Objects(pulumi.CustomResource):
    """A bundle of Kubernetes objects, applied as one; what leaves the bundle is deleted.

    ``cluster`` tells one cluster from the next one that is raised in its place. ``wait`` waits until
    Deployments are available and our own kinds are Ready.
    """

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        kubeconfig: str,
        cluster: pulumi.Input[str],
        objects: Sequence[Mapping[str, Any]] | None = None,
        manifest: Manifest | None = None,
        wait: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "stack": stack,
            "name": name,
            "kubeconfig": kubeconfig,
            "cluster": cluster,
            "objects": objects,
            "manifest": manifest,
            "wait": wait,
            "refs": None,
            "drift": None,
        }
        super().__init__("antenna:index:Objects", name, props, opts)
