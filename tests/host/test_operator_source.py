"""Who gets the mark that opens the tunnels: the plugin with the real nftables, in network namespaces."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import paths
from infra.components.links import OPERATOR_MARK

pytestmark = pytest.mark.skipif(not shutil.which("nft"), reason="needs nft (Debian: nftables) on this host")

PLUGIN = paths.REPOSITORY / "playbooks" / "roles" / "kubernetes" / "files" / "antenna-source"
HEAD, SITE = "t-source-head", "t-source-site"
PODS = {"operator": ("10.97.8.2", "veth-op"), "other": ("10.97.8.3", "veth-other")}
SITE_ADDRESS, PORT = "10.97.9.2", 8022
LISTENER = (
    f"import socket; s = socket.create_server(('', {PORT})); print('ready', flush=True)\n"
    "while True: s.accept()[0].close()"
)


def run(*command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=30, **options)


def inside(namespace: str, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("ip", "netns", "exec", namespace, *command, **options)


def plugin(verb: str, pod: str, *, name: str, namespace: str = "antenna-system") -> str:
    """Call the plugin as the container runtime does, for one of the pods."""
    address, interface = PODS[pod]
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": interface}, {"name": "eth0", "sandbox": f"/run/netns/t-source-{pod}"}],
        "ips": [{"address": f"{address}/24", "interface": 1}],
    }
    environment = {
        **os.environ,
        "CNI_COMMAND": verb,
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}",
    }
    given = json.dumps({"cniVersion": "1.0.0", "type": "antenna-source", "prevResult": result})
    done = inside(HEAD, "python3", str(PLUGIN), input=given, env=environment)
    if verb == "ADD":
        assert json.loads(done.stdout) == result
    return done.stdout


def reaches(pod: str, source: str = "") -> bool:
    """Whether a connection of the pod gets to the site, from its own address or another's."""
    call = f"socket.create_connection(('{SITE_ADDRESS}', {PORT}), 1, ('{source or PODS[pod][0]}', 0))"
    return inside(f"t-source-{pod}", "python3", "-c", f"import socket; {call}", check=False).returncode == 0


@pytest.fixture
def head() -> Iterator[None]:
    """A head with two pods and a way to a site that only marked packets may take."""
    names = [HEAD, SITE, *(f"t-source-{pod}" for pod in PODS)]
    for name in names:
        run("ip", "netns", "delete", name, check=False)
        run("ip", "netns", "add", name)
        inside(name, "ip", "link", "set", "lo", "up")
    try:
        for pod, (address, interface) in PODS.items():
            _join(interface, f"t-source-{pod}", address)
            inside(HEAD, "ip", "route", "add", f"{address}/32", "dev", interface)
        _join("veth-site", SITE, SITE_ADDRESS)
        inside(HEAD, "ip", "route", "add", f"{SITE_ADDRESS}/32", "dev", "veth-site")
        inside(HEAD, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        gate = (
            "table inet gate {\nchain forward {\ntype filter hook forward priority filter; policy accept;\n"
            f'oifname "veth-site" meta mark & {OPERATOR_MARK:#x} != {OPERATOR_MARK:#x} drop\n}}\n}}\n'
        )
        inside(HEAD, "nft", "-f", "-", input=gate)
        listener = ("ip", "netns", "exec", SITE, "python3", "-c", LISTENER)
        with subprocess.Popen(listener, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield
            process.kill()
    finally:
        for name in names:
            run("ip", "netns", "delete", name, check=False)


def _join(outside: str, namespace: str, address: str) -> None:
    run(
        "ip",
        "link",
        "add",
        outside,
        "netns",
        HEAD,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        namespace,
    )
    inside(HEAD, "ip", "address", "add", "169.254.1.1/32", "dev", outside)
    inside(HEAD, "ip", "link", "set", outside, "up")
    inside(namespace, "ip", "address", "add", f"{address}/32", "dev", "eth0")
    inside(namespace, "ip", "link", "set", "eth0", "up")
    inside(namespace, "ip", "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link")
    inside(namespace, "ip", "route", "add", "default", "via", "169.254.1.1", "onlink", "dev", "eth0")


def test_the_mark_is_the_tunnels(tmp_path: Path) -> None:
    found = re.search(r'MARK = "(\w+)"', PLUGIN.read_text())
    assert found is not None
    assert int(found[1], 16) == OPERATOR_MARK


def test_the_operators_pod_alone_gets_through(head: None) -> None:
    plugin("ADD", "other", name="victoria-metrics-1", namespace="antenna-monitoring")
    assert not reaches("operator")
    plugin("ADD", "operator", name="antenna-operator-7d-x")
    assert reaches("operator")
    assert not reaches("other")
    # Nor with the operator's address on its own interface.
    inside("t-source-other", "ip", "address", "add", f"{PODS['operator'][0]}/32", "dev", "eth0")
    assert not reaches("other", PODS["operator"][0])


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("antenna-operator-7d-x", "tenant-imec"), ("x-antenna-operator-", "antenna-system"), ("", "")],
)
def test_a_name_or_a_namespace_alone_is_not_enough(head: None, name: str, namespace: str) -> None:
    plugin("ADD", "operator", name=name, namespace=namespace)
    assert not reaches("operator")


def test_an_address_that_is_given_back_is_no_longer_marked(head: None) -> None:
    plugin("ADD", "operator", name="antenna-operator-7d-x")
    plugin("DEL", "operator", name="antenna-operator-7d-x")
    assert not reaches("operator")
    plugin("DEL", "operator", name="antenna-operator-7d-x")


def test_a_set_changed_by_hand_is_told_and_mended(head: None) -> None:
    plugin("ADD", "operator", name="antenna-operator-7d-x")
    inside(HEAD, "nft", 'add element inet antenna_source pods { "veth-other" . 10.97.8.3 }')
    assert reaches("other")
    # There is no record of a runtime here, so that nobody is to be marked.
    look = json.loads(inside(HEAD, "python3", str(PLUGIN), "--look").stdout)
    assert any("veth-other" in line for line in look)
    assert reaches("other")
    inside(HEAD, "python3", str(PLUGIN), "--sync")
    assert not reaches("other")
    assert json.loads(inside(HEAD, "python3", str(PLUGIN), "--look").stdout) == []
