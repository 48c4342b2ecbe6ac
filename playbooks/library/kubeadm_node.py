#!/usr/bin/python
"""One machine's membership of a Kubernetes cluster, by kubeadm."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import ssl
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kubeadm_node
short_description: kubeadm init, join and survey, safe to cut and to repeat
description:
  - survey tells what the machine is, namely whether kubeadm finished here, and for which cluster.
  - init makes the control plane, join makes a worker. Each writes a record when it has finished; without the
    record the work is taken up again, from a reset machine where kubeadm cannot go on from what is there.
  - A worker that belongs to another cluster than the head's is reset and joined anew. One that the API no
    longer knows registers again.
  - A control plane that holds data is never reset on the way: an init that was cut before its end is begun
    anew, one that had finished is taken over as it is, and where neither can be, a person has to name the
    machine.
  - reset takes the machine out of any cluster.
options:
  state: {description: What to do., type: str, choices: [survey, init, join, reset], required: true}
  kubeadm: {description: The kubeadm program., type: path}
  kubectl: {description: The kubectl program., type: path}
  name: {description: The node's name., type: str}
  config: {description: kubeadm's configuration documents (v1beta4)., type: list, elements: dict}
  server: {description: Address of the API as https URL (join)., type: str}
  ca_certificate: {description: Certificate of the head's authority (join)., type: str}
  token: {description: Bootstrap token; only needed by a machine that is no member yet (join)., type: str}
  may_reset: {description: The machine whose control plane may be reset with its data (init)., type: str}
  timeout: {description: Seconds for a joined node to be Ready., type: int, default: 90}
"""

EXAMPLES = r"""
- name: See what the machine is
  kubeadm_node:
    state: survey
  register: node
"""

RETURN = r"""
member: {description: Whether kubeadm had finished here before this run., type: bool, returned: always}
ca_certificate: {description: Certificate of the authority known here (PEM)., type: str, returned: always}
version: {description: Version of the control plane here; empty if none., type: str, returned: always}
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""

RECORD = "/var/lib/antenna/kubeadm.json"
AUTHORITY = "/etc/kubernetes/pki/ca.crt"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
ETCD = "/var/lib/etcd/member"
STARTED = "/var/lib/antenna/kubeadm-init.started"
"""There from the beginning of an init to its end: what etcd holds then is nobody's."""
LOCK = "/run/antenna-kubeadm.lock"
FAILED = "/run/antenna-kubeadm.failed"
"""There while the last init failed, so that machines that wait for it need not."""

NUDGE_AFTER, NUDGE_STUCK_AFTER = 30, 5


def authority() -> str:
    """Certificate (PEM) of the cluster's authority known here; empty if none."""
    if not os.path.exists(AUTHORITY):
        return ""
    with open(AUTHORITY, encoding="ascii") as file:
        return file.read()


def control_plane_version() -> str:
    """Version of the API server that this machine runs; empty when it runs none."""
    if not os.path.exists(MANIFEST):
        return ""
    with open(MANIFEST, encoding="utf-8") as file:
        found = re.search(r"image: \S+/kube-apiserver:(\S+)", file.read())
    return found[1] if found else ""


def fingerprint(pem: str) -> str:
    """SHA-256 of a certificate: tells clusters apart. Empty for no certificate."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() if pem else ""


def is_member(pem: str) -> bool:
    """Whether kubeadm finished on this machine for the cluster of that authority."""
    if not (pem and os.path.exists(KUBELET_CONF) and os.path.exists(RECORD)):
        return False
    with open(RECORD, encoding="utf-8") as file:
        return bool(json.load(file)["authority"] == fingerprint(pem))


def record(pem: str) -> None:
    """Write down that kubeadm finished, for which cluster."""
    os.makedirs(os.path.dirname(RECORD), exist_ok=True)
    with open(f"{RECORD}.new", "w", encoding="utf-8") as file:
        json.dump({"authority": fingerprint(pem)}, file)
    os.replace(f"{RECORD}.new", RECORD)
    if os.path.exists(STARTED):
        os.unlink(STARTED)


def private_file(text: str) -> str:
    """Path of a new file that only root reads, on a file system that does not outlive a boot."""
    descriptor, path = tempfile.mkstemp(prefix="antenna-kubeadm-", dir="/run")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def bootstrap_kubeconfig(server: str, ca_certificate: str, token: str) -> str:
    """What a joining machine trusts: the API's address and its authority, handed over SSH."""
    data = base64.b64encode(ca_certificate.encode()).decode()
    cluster = {"name": "antenna", "cluster": {"server": server, "certificate-authority-data": data}}
    user = {"name": "antenna", "user": {"token": token}}
    context = {"name": "antenna", "context": {"cluster": "antenna", "user": "antenna"}}
    content = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "antenna"}
    return json.dumps({"apiVersion": "v1", "kind": "Config"} | content)


def reset(module: AnsibleModule) -> None:
    """Undo whatever kubeadm left here."""
    module.run_command([module.params["kubeadm"], "reset", "--force"])
    for path in (RECORD, STARTED):
        if os.path.exists(path):
            os.unlink(path)


def answers(module: AnsibleModule) -> bool:
    """Whether the control plane of this machine runs; one that is busy or has just begun is waited for."""
    if not os.path.exists(ADMIN_CONF):
        return False
    command = [module.params["kubectl"], "--kubeconfig", ADMIN_CONF, "--request-timeout=20s"]
    deadline = time.monotonic() + module.params["timeout"]
    while module.run_command([*command, "get", "--raw=/readyz"])[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def takes_over(module: AnsibleModule) -> bool:
    """Whether a finished control plane is here, of which only the record is lost.

    Fails where etcd holds data that no init of ours was cut at and nobody named the machine.
    """
    if not os.path.exists(ETCD) or os.path.exists(STARTED):
        return False
    name = module.params["name"]
    if module.params["may_reset"] == name:
        if not module.check_mode:
            reset(module)
        return False
    if answers(module):
        return True
    module.fail_json(
        msg=f"{name} holds a control plane with data that does not answer, and no record of how it was made. "
        f"Mend it (journalctl -u kubelet on {name}); or, to lose all that it holds: "
        f"antenna up --reset-control-plane {name}"
    )
    return False


def run_kubeadm(module: AnsibleModule, verb: str, documents: list[dict[str, Any]]) -> None:
    """Run ``kubeadm init`` or ``join``; from a reset machine if it does not go on from a cut."""
    leftover = os.path.exists(AUTHORITY) or os.path.exists(KUBELET_CONF)
    # A worker takes nothing from a cut join: what is there may be of another cluster.
    if leftover and verb == "join":
        reset(module)
    if os.path.exists(FAILED):
        os.unlink(FAILED)
    path = private_file("\n---\n".join(json.dumps(document) for document in documents))
    command = [module.params["kubeadm"], verb, "--config", path]
    command += ["--skip-token-print"] if verb == "init" else []
    try:
        code, out, err = module.run_command(command)
        if code and leftover and verb == "init":
            reset(module)
            code, out, err = module.run_command(command)
    finally:
        os.unlink(path)
    if code:
        with open(FAILED, "w", encoding="ascii"):
            pass
        module.fail_json(msg=f"kubeadm {verb}: {reason(err or out)}")


def reason(output: str) -> str:
    """What kubeadm says went wrong, without its warnings and advice."""
    noise = ("W", "\t[WARNING", "To see the stack trace")
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith(noise)]
    return "\n".join(lines[-12:])


def init(module: AnsibleModule) -> None:
    """Make the machine the control plane."""
    os.makedirs(os.path.dirname(STARTED), exist_ok=True)
    with open(STARTED, "w", encoding="ascii"):
        pass
    run_kubeadm(module, "init", module.params["config"])


def join(module: AnsibleModule) -> None:
    """Make the machine a worker of the head's cluster."""
    documents = module.params["config"]
    path = private_file(
        bootstrap_kubeconfig(*(module.params[key] for key in ("server", "ca_certificate", "token")))
    )
    documents[0]["discovery"] = {
        "file": {"kubeConfigPath": path},
        "tlsBootstrapToken": module.params["token"],
    }
    try:
        run_kubeadm(module, "join", documents)
    finally:
        os.unlink(path)


def node_state(module: AnsibleModule) -> str:
    """One of: ready, absent, unknown (the API does not answer), or "not ready" and why."""
    command = [module.params["kubectl"], "--kubeconfig", KUBELET_CONF, "--request-timeout=5s"]
    code, out, err = module.run_command([*command, "get", "node", module.params["name"], "--output=json"])
    if code:
        return "absent" if "NotFound" in err else "unknown"
    conditions = json.loads(out)["status"].get("conditions", [])
    row = next((row for row in conditions if row["type"] == "Ready"), None)
    if row is None:
        return "not ready"
    return "ready" if row["status"] == "True" else f"not ready: {row.get('message', '')}"


def await_ready(module: AnsibleModule) -> None:
    """Wait until the node is Ready; start the kubelet anew when it is stuck, as it can be after a join."""
    began = nudged = time.monotonic()
    while (state := node_state(module)) != "ready":
        now = time.monotonic()
        if now - began > module.params["timeout"]:
            module.fail_json(msg=f"node {module.params['name']} after {module.params['timeout']} s: {state}")
        stuck = state == "absent" or "CSINode" in state
        if now - nudged > (NUDGE_STUCK_AFTER if stuck else NUDGE_AFTER):
            module.run_command(["systemctl", "restart", "kubelet.service"])
            nudged = now
        time.sleep(0.5)


def mend(module: AnsibleModule, member: bool) -> list[str]:
    """Bring the machine to the declared membership; the differences found."""
    verb, name = module.params["state"], module.params["name"]
    if verb == "reset":
        left = os.path.exists(AUTHORITY) or os.path.exists(KUBELET_CONF)
        if left and not module.check_mode:
            reset(module)
        return ["the machine belongs to a cluster"] if left else []
    if not member:
        if verb == "init" and takes_over(module):
            if not module.check_mode:
                record(authority())
            return [f"node {name}: no record of its control plane"]
        if not module.check_mode:
            init(module) if verb == "init" else join(module)
            record(authority())
            await_ready(module)
        return [f"node {name}: not in the cluster"]
    if node_state(module) != "absent":
        return []
    if not module.check_mode:
        module.run_command(["systemctl", "restart", "kubelet.service"])
        await_ready(module)
    return [f"node {name}: unknown to the cluster"]


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["survey", "init", "join", "reset"], "required": True},
            "kubeadm": {"type": "path"},
            "kubectl": {"type": "path"},
            "name": {"type": "str"},
            "config": {"type": "list", "elements": "dict"},
            "server": {"type": "str"},
            "ca_certificate": {"type": "str"},
            "token": {"type": "str", "no_log": True},
            "may_reset": {"type": "str"},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    changes: list[str] = []
    with open(LOCK, "w", encoding="ascii") as lock:
        # A run that was killed leaves its kubeadm to finish here; two at once would tear each other's work.
        if module.params["state"] != "survey" and not module.check_mode:
            fcntl.flock(lock, fcntl.LOCK_EX)
        member = is_member(authority())
        if module.params["state"] == "join":
            member = member and fingerprint(authority()) == fingerprint(module.params["ca_certificate"] or "")
        if module.params["state"] != "survey":
            changes = mend(module, member)
    module.exit_json(
        changed=bool(changes),
        changes=changes,
        member=member,
        ca_certificate=authority(),
        version=control_plane_version(),
    )


if __name__ == "__main__":
    main()
