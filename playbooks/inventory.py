"""From a site's machines to what Ansible and SSH are given. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ARTIFACTS = "/opt/antenna/artifacts"
INTERPRETER = "/usr/bin/python3"

SITE = "site"
"""Group of machines outside the cluster: where a link ends, and on this host, remote sites' stand-ins."""

GROUPS = ("head", "workers", "gpu", "gateway", SITE)

# Labels as GPU feature discovery spells them, so that jobs choose GPUs the same way everywhere.
GPU_LABELS = ("present", "count", "product", "memory")
SIMULATED_LABEL = "antenna.be/gpu-simulated"
OWNED_LABELS = [*(f"nvidia.com/gpu.{name}" for name in GPU_LABELS), SIMULATED_LABEL]

# What a GPU node's device plugin announces, simulated or not.
GPU_RESOURCE = "nvidia.com/gpu"

# What needs no GPU goes elsewhere while there is room: a GPU node can leave without interrupting it.
GPU_TAINT = f"{GPU_RESOURCE}:PreferNoSchedule"

# The head is no worker: only what the Antenna itself runs tolerates it.
HEAD_TAINT = "node-role.kubernetes.io/control-plane:NoSchedule"


def gpu_labels(gpus: Mapping[str, Any] | None) -> dict[str, str]:
    """Node labels for a machine's GPUs {model, count, simulated, memory_mib}; none without GPUs."""
    if not gpus:
        return {}
    labels = {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(gpus["count"]),
        "nvidia.com/gpu.product": re.sub(r"[^A-Za-z0-9_.-]+", "-", gpus["model"]).strip("-._")[:63],
        SIMULATED_LABEL: "true" if gpus["simulated"] else "false",
    }
    if memory := gpus.get("memory_mib"):
        labels["nvidia.com/gpu.memory"] = str(memory)
    return labels


def nodes(hosts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cluster's machines as nodes: name, address, pod_cidr, labels, taints, resources; by name.

    A machine without pods (in group ``site``) is none.
    """
    return [
        {
            "name": name,
            "address": hosts[name]["address"],
            "pod_cidr": hosts[name]["vars"]["antenna_pod_cidr"],
            "labels": gpu_labels(hosts[name]["vars"].get("antenna_gpus")),
            "taints": taints(hosts[name]),
            "resources": [GPU_RESOURCE] if hosts[name]["vars"].get("antenna_gpus") else [],
        }
        for name in sorted(hosts)
        if "antenna_pod_cidr" in hosts[name]["vars"]
    ]


def taints(host: Mapping[str, Any]) -> list[str]:
    """Taints of one machine as a node, as kubectl writes them."""
    on_head = [HEAD_TAINT] if "head" in host["groups"] else []
    return on_head + ([GPU_TAINT] if host["vars"].get("antenna_gpus") else [])


def head(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of the one host in group ``head``. Raises ValueError when there is none or more than one.

    Empty for hosts that all are outside the cluster.
    """
    if all(SITE in host["groups"] for host in hosts.values()):
        return ""
    heads = [name for name in sorted(hosts) if "head" in hosts[name]["groups"]]
    if len(heads) != 1:
        raise ValueError(f"exactly one host must be in group 'head', found {', '.join(heads) or 'none'}")
    return heads[0]


def inventory(
    hosts: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any], identity_file: str
) -> dict[str, Any]:
    """Ansible's inventory (its YAML layout) of ``hosts`` {name: {address, user, port, groups, vars}}.

    Raises ValueError without exactly one head, unless all hosts are outside the cluster.
    """
    rows = {row["name"]: row for row in nodes(hosts)}
    first = head(hosts)
    every: dict[str, Any] = {
        "antenna_artifacts": ARTIFACTS,
        **variables,
        "antenna_nodes": list(rows.values()),
        "antenna_head": first,
        "antenna_head_address": hosts[first]["address"] if first else "",
        "antenna_owned_labels": OWNED_LABELS,
        "ansible_python_interpreter": INTERPRETER,
        "ansible_ssh_private_key_file": identity_file,
    }
    groups: dict[str, dict[str, Any]] = {name: {"hosts": {}} for name in GROUPS}
    for name, host in sorted(hosts.items()):
        for group in host["groups"]:
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = {}
    return {
        "all": {
            "vars": every,
            "hosts": {name: host_variables(name, hosts[name], rows.get(name)) for name in sorted(hosts)},
            "children": groups,
        }
    }


def host_variables(name: str, host: Mapping[str, Any], node: Mapping[str, Any] | None) -> dict[str, Any]:
    """Variables of one host: how it is reached, and what it is as a node, if it is one."""
    as_node = {"antenna_node_labels": node["labels"], "antenna_node_taints": node["taints"]} if node else {}
    return {
        **host["vars"],
        "ansible_host": host["address"],
        "ansible_user": host["user"],
        "ansible_port": host["port"],
        "ansible_become": host["user"] != "root",
        "antenna_machine": name,
        "antenna_address": host["address"],
        **as_node,
    }


def ssh_config(hosts: Mapping[str, Mapping[str, Any]], identity_file: str, known_hosts: str) -> str:
    """An ssh_config(5) that reaches every host by name, and none whose host key is not already known."""
    lines = []
    for name, host in sorted(hosts.items()):
        lines += [
            f"Host {name}",
            f"    HostName {host['address']}",
            f"    User {host['user']}",
            f"    Port {host['port']}",
            "",
        ]
    lines += [
        "Host *",
        f"    IdentityFile {identity_file}",
        "    IdentitiesOnly yes",
        f"    UserKnownHostsFile {known_hosts}",
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        "    PreferredAuthentications publickey",
        "    ServerAliveInterval 15",
        "",
    ]
    return "\n".join(lines)
