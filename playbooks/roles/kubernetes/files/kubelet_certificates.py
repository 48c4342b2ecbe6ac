"""The kubelets' certificates as servers: asked for by each kubelet, given by the head after a look.

Kubernetes signs them and approves none: whoever holds a kubelet's credentials could ask for any name. Here
a request is approved when it comes from a declared node and names that node and its declared address, and
nothing else.

kubelet_certificates.py [--wait SECONDS] [--look] prints {approved, refused, missing}; 1: one is missing.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from typing import Any

SETTINGS = "/etc/antenna/kubelet-certificates.json"
"""nodes [{name, address}], kubeadm and kubectl (programs), config (kubeadm's documents)."""
AUTHORITY = "/etc/kubernetes/pki/ca.crt"
USER = "antenna:kubelet-approver"
SIGNER = "kubernetes.io/kubelet-serving"
USAGES = ({"digital signature", "server auth"}, {"digital signature", "key encipherment", "server auth"})
PORT = 10250
# From the extensions to the end, all of it: a heading, one row of names, the signature, the subject. A name
# with a line break in it, which could be made to look like the rest, does not fit.
ASKED = re.compile(
    r"\n +Requested Extensions:\n +X509v3 Subject Alternative Name: *(?:critical)?\n +([^\n]+)\n"
    r" {4}Signature Algorithm: [\w-]+\n {4}Signature Value:\n[0-9a-f:\s]+\nsubject=([^\n]*)\n\Z"
)

Row = dict[str, Any]


def fault(request: Row, text: str, nodes: dict[str, str]) -> str:  # noqa: PLR0911 (a reason each)
    """Why a request is not approved; empty when it is what the node may have. Pure.

    ``request`` is the CertificateSigningRequest, ``text`` what `openssl req` says is in it (see
    ``describe``), ``nodes`` the declared addresses by name.
    """
    spec = request["spec"]
    user = str(spec.get("username", ""))
    name = user.removeprefix("system:node:")
    if name == user or name not in nodes:
        return f"{user or 'nobody'} is no declared node"
    if "system:nodes" not in spec.get("groups", []):
        return f"{user} is not in system:nodes"
    if set(spec.get("usages", [])) not in USAGES:
        return f"usages {', '.join(spec.get('usages', []))}"
    subject, names = parse(text)
    if not names:
        return "it asks for something other than names"
    if subject != f"CN=system:node:{name},O=system:nodes":
        return f"subject {subject}"
    allowed = {f"DNS:{name}", f"IP Address:{nodes[name]}"}
    if strange := sorted(set(names) - allowed):
        return f"names {', '.join(strange)} are not those of {name}"
    return ""


def parse(text: str) -> tuple[str, list[str]]:
    """Subject and names in what `openssl req` says; nothing where anything else is asked for too. Pure."""
    found = ASKED.search(text)
    return (found[2], found[1].split(", ")) if found else ("", [])


def describe(request: Row) -> str:
    """What the request asks for, as openssl tells; empty when it is none."""
    pem = base64.b64decode(request["spec"]["request"])
    command = ["openssl", "req", "-noout", "-verify", "-subject", "-text", "-nameopt", "RFC2253"]
    done = subprocess.run(command, input=pem, capture_output=True, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def is_open(request: Row) -> bool:
    """Whether nobody has said anything of the request. Pure."""
    return request["spec"]["signerName"] == SIGNER and not request.get("status", {}).get("conditions")


def shows_certificate(address: str) -> bool:
    """Whether the kubelet at the address shows a certificate of the cluster's authority, for that address."""
    context = ssl.create_default_context(cafile=AUTHORITY)
    try:
        with socket.create_connection((address, PORT), timeout=3) as plain:
            context.wrap_socket(plain, server_hostname=address).close()
    except OSError:
        return False
    return True


class Cluster:
    """The API as somebody who may do nothing but this, with credentials that end within the hour."""

    def __init__(self, settings: Row) -> None:
        self.settings = settings
        self.kubeconfig = self._file(self._credentials())

    def _file(self, text: str) -> str:
        descriptor, path = tempfile.mkstemp(prefix="antenna-approver-", dir="/run")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _credentials(self) -> str:
        config = self._file("\n---\n".join(json.dumps(row) for row in self.settings["config"]))
        try:
            command = [self.settings["kubeadm"], "kubeconfig", "user", "--config", config]
            command += ["--client-name", USER, "--validity-period", "1h"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            os.unlink(config)
        if done.returncode:
            raise SystemExit(f"kubeadm kubeconfig user: {done.stderr.strip()[-400:]}")
        return done.stdout

    def close(self) -> None:
        """Forget the credentials."""
        os.unlink(self.kubeconfig)

    def kubectl(self, *arguments: str) -> str:
        """Output of one call; empty when it fails."""
        command = [
            self.settings["kubectl"],
            "--kubeconfig",
            self.kubeconfig,
            "--request-timeout=20s",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"kubectl {' '.join(arguments[:2])}: {done.stderr.strip()[-400:]}", file=sys.stderr)
        return done.stdout if done.returncode == 0 else ""

    def requests(self) -> list[Row]:
        """Requests of kubelets that nobody has decided on."""
        listed = self.kubectl("get", "certificatesigningrequests", "--output=json")
        return [row for row in json.loads(listed)["items"] if is_open(row)] if listed else []


def approve(cluster: Cluster, nodes: dict[str, str]) -> tuple[list[str], list[str]]:
    """Approve what is right; the nodes that got one, and why the others' requests were left."""
    approved, refused = [], []
    for request in cluster.requests():
        name = request["metadata"]["name"]
        if why := fault(request, describe(request), nodes):
            refused.append(f"{name}: {why}")
        elif cluster.kubectl("certificate", "approve", name):
            approved.append(str(request["spec"]["username"]).removeprefix("system:node:"))
    return approved, refused


def run(settings: Row, wait: float) -> Row:
    """Approve until every declared node shows a certificate, ``wait`` seconds at most."""
    nodes = {row["name"]: row["address"] for row in settings["nodes"]}
    deadline = time.monotonic() + wait
    approved: list[str] = []
    cluster = Cluster(settings)
    try:
        while True:
            more, refused = approve(cluster, nodes)
            approved += more
            missing = lacking(nodes)
            if not missing or time.monotonic() > deadline:
                return {"approved": approved, "refused": refused, "missing": missing}
            time.sleep(1)
    finally:
        cluster.close()


def lacking(nodes: dict[str, str]) -> list[str]:
    """Nodes whose kubelet shows no certificate of the cluster."""
    return [name for name, address in sorted(nodes.items()) if not shows_certificate(address)]


def main() -> None:
    """Print what was done; exit 1 where a node has no certificate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wait", type=float, default=0)
    parser.add_argument("--look", action="store_true")
    options = parser.parse_args()
    with open(SETTINGS, encoding="utf-8") as file:
        settings = json.load(file)
    nodes = {row["name"]: row["address"] for row in settings["nodes"]}
    if options.look:
        result: Row = {"approved": [], "refused": [], "missing": lacking(nodes)}
    else:
        result = run(settings, options.wait)
    print(json.dumps(result))
    sys.exit(1 if result["missing"] else 0)


if __name__ == "__main__":
    main()
