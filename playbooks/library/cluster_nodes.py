#!/usr/bin/python
"""The cluster's nodes as the head sees them: labels, taints, draining, leaving."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: cluster_nodes
short_description: Labels, taints and schedulability of nodes; draining and removal
description:
  - Runs on the head. present gives every named node its labels and taints, makes it schedulable again if
    a drain of ours left it cordoned, and waits until it is Ready and a device plugin has announced its
    resources. drained cordons and evicts. absent drains and deletes.
  - Labels under the owned prefixes that are not declared are removed.
options:
  state:
    description: What the nodes shall be.
    type: str
    choices: [present, drained, absent]
    default: present
  nodes:
    description:
      - The nodes, each with name, labels (dict), taints (KEY[=VALUE]:EFFECT) and resources (names of extended
        resources that a device plugin announces). More is ignored.
    type: list
    elements: dict
    required: true
  owned: {description: Label prefixes that are ours alone., type: list, elements: str, default: []}
  kubectl: {description: The kubectl program., type: path, required: true}
  alive:
    description: Ready is not enough; each node must have reported anew since this began.
    type: bool
    default: false
  timeout: {description: Seconds for Ready or for a drain., type: int, default: 120}
"""

EXAMPLES = r"""
- name: Label the nodes
  cluster_nodes:
    kubectl: /opt/antenna/artifacts/bin/kubectl
    nodes: [{name: gpu-1, labels: {nvidia.com/gpu.count: "4"}}]
"""

RETURN = r"""
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""

KUBECONFIG = "/etc/kubernetes/admin.conf"
DRAINED = "antenna.be/drained"
"""Annotation on a node that we cordoned, so that a person's own cordon is left alone."""

Mending = tuple[str, list[str]]
"""What is wrong, and the kubectl arguments that mend it."""


def kubectl(module: AnsibleModule, *arguments: str) -> str:
    """Output of one kubectl call; a failure is the module's."""
    command = [module.params["kubectl"], "--kubeconfig", KUBECONFIG, *arguments]
    code, out, err = module.run_command(command)
    if code:
        module.fail_json(msg=f"kubectl {' '.join(arguments[:3])}: {(err or out).strip()[-800:]}")
    return str(out)


def list_nodes(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    """Nodes by name."""
    rows = json.loads(kubectl(module, "--request-timeout=20s", "get", "nodes", "--output=json"))["items"]
    return {row["metadata"]["name"]: row for row in rows}


def renewals(module: AnsibleModule) -> dict[str, str]:
    """When each node last reported, as its lease tells."""
    arguments = ["get", "leases", "--namespace=kube-node-lease", "--output=json"]
    rows = json.loads(kubectl(module, "--request-timeout=20s", *arguments))["items"]
    return {row["metadata"]["name"]: row["spec"].get("renewTime", "") for row in rows}


def is_ready(node: dict[str, Any]) -> bool:
    """Whether the kubelet reports the node as Ready."""
    conditions = node["status"].get("conditions", [])
    return any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)


def spell(taint: dict[str, str]) -> str:
    """A taint as kubectl writes it."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def lacking(declared: dict[str, Any], node: dict[str, Any]) -> list[str]:
    """Declared extended resources of which the node offers nothing at all. Pure.

    A node whose GPUs are lost one by one stays a node; one that offers none has no device plugin.
    """
    allocatable = node["status"].get("allocatable", {})
    return [name for name in declared.get("resources", []) if int(allocatable.get(name, "0")) == 0]


def compare(declared: dict[str, Any], node: dict[str, Any], owned: list[str]) -> list[Mending]:
    """What differs on one node. Pure."""
    name, meta, spec = declared["name"], node["metadata"], node["spec"]
    found, wanted = meta.get("labels", {}), {k: str(v) for k, v in declared.get("labels", {}).items()}
    mendings: list[Mending] = []
    for key in sorted(wanted):
        if found.get(key) != wanted[key]:
            is_value = repr(found[key]) if key in found else "missing"
            change = f"node {name}: label {key}: {is_value}, declared {wanted[key]!r}"
            mendings.append((change, ["label", "--overwrite", "node", name, f"{key}={wanted[key]}"]))
    for key in sorted(found.keys() - wanted.keys()):
        if key.startswith(tuple(owned)):
            mendings.append((f"node {name}: label {key}: not declared", ["label", "node", name, f"{key}-"]))
    # Taints under node.kubernetes.io are conditions that Kubernetes itself keeps.
    taints = {spell(t) for t in spec.get("taints", []) if not t["key"].startswith("node.kubernetes.io/")}
    for taint in sorted(set(declared.get("taints", [])) - taints):
        change = f"node {name}: taint {taint}: missing"
        mendings.append((change, ["taint", "--overwrite", "node", name, taint]))
    for taint in sorted(taints - set(declared.get("taints", []))):
        mendings.append((f"node {name}: taint {taint}: not declared", ["taint", "node", name, f"{taint}-"]))
    if DRAINED in meta.get("annotations", {}):
        mendings.append((f"node {name}: drained", ["uncordon", name]))
        mendings.append((f"node {name}: marked as drained", ["annotate", "node", name, f"{DRAINED}-"]))
    return mendings


def keep(module: AnsibleModule) -> list[str]:
    """Bring every declared node to its labels and taints, and wait until it is Ready."""
    deadline = time.monotonic() + module.params["timeout"]
    names = {node["name"] for node in module.params["nodes"]}
    # A kubelet that has died is called Ready until its lease has run out.
    before = renewals(module) if module.params["alive"] else {}
    while True:
        nodes = list_nodes(module)
        late = sorted(name for name in names if name not in nodes or not is_ready(nodes[name]))
        if before and not late:
            now = renewals(module)
            late = sorted(name for name in names if now.get(name) == before.get(name))
        if not late or module.check_mode:
            break
        if time.monotonic() > deadline:
            module.fail_json(msg=f"not Ready after {module.params['timeout']} s: {', '.join(late)}")
        time.sleep(1)
    changes = [f"node {name}: not Ready" for name in late]
    for declared in module.params["nodes"]:
        if declared["name"] in nodes:
            for change, arguments in compare(declared, nodes[declared["name"]], module.params["owned"]):
                changes.append(change)
                if not module.check_mode:
                    kubectl(module, *arguments)
    return changes + offer(module, deadline)


def offer(module: AnsibleModule, deadline: float) -> list[str]:
    """Wait until every declared node offers its extended resources; what was lacking before."""
    first: list[str] | None = None
    while True:
        nodes = list_nodes(module)
        late = [
            f"node {declared['name']}: no {name} allocatable"
            for declared in module.params["nodes"]
            if declared["name"] in nodes
            for name in lacking(declared, nodes[declared["name"]])
        ]
        first = late if first is None else first
        if not late or module.check_mode:
            return first
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"after {module.params['timeout']} s: {'; '.join(late)} (its device plugin is silent)"
            )
        time.sleep(1)


def drain(module: AnsibleModule, name: str, ready: bool) -> None:
    """Cordon the node, mark the cordon as ours, evict what runs there.

    Nothing can be evicted in order from a machine that does not answer; waiting for it would never end.
    """
    kubectl(module, "annotate", "--overwrite", "node", name, f"{DRAINED}=true")
    if not ready:
        kubectl(module, "cordon", name)
        return
    timeout = f"--timeout={module.params['timeout']}s"
    flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", timeout]
    kubectl(module, "drain", name, *flags)


def leave(module: AnsibleModule) -> list[str]:
    """Drain the nodes; delete them if they shall be absent."""
    nodes = list_nodes(module)
    changes = []
    for name in (row["name"] for row in module.params["nodes"]):
        if name not in nodes:
            continue
        changes.append(f"node {name}: declared {module.params['state']}")
        if module.check_mode:
            continue
        drain(module, name, is_ready(nodes[name]))
        if module.params["state"] == "absent":
            kubectl(module, "delete", "node", name)
    return changes


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "drained", "absent"], "default": "present"},
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "owned": {"type": "list", "elements": "str", "default": []},
            "kubectl": {"type": "path", "required": True},
            "alive": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    changes = keep(module) if module.params["state"] == "present" else leave(module)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
