"""GPUs and nodes: what there is, what is held of it, and whether it is well."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    BYTES,
    CELSIUS,
    DAYS,
    GPUS,
    OF_ONE,
    SECONDS,
    TRUE,
    WATTS,
    XID,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
)
from monitoring.rules.platform import DISKS
from monitoring.scrape import NETWORK_POLICY_JOB

_NODE: Final = Variable("node", "Node", "antenna_node_ready")
_CHOSEN: Final = 'node=~"$node"'
_GPU: Final = "{{node}} GPU {{gpu}}"


def _of_gpu(family: str) -> str:
    """The instances of a divided GPU tell the same of it."""
    return f"max by (node, gpu) ({family}{{{_CHOSEN}}})"


_NODES: Final = Row(
    "Nodes",
    (
        Panel(
            "GPUs held and offered",
            "What pods hold of what a node offers to them.",
            tuple(
                Query(f"sum by (node) (antenna_node_gpus_{kind}{{{_CHOSEN}}})", f"{{{{node}}}} {legend}")
                for kind, legend in (("allocatable", "offered"), ("allocated", "held"))
            ),
            GPUS,
        ),
        Panel(
            "GPUs that are lost",
            "What a node has and does not offer: its device plugin calls them unhealthy. 0 is well.",
            (
                Query(
                    "sum by (node) "
                    f"(antenna_node_gpus_capacity{{{_CHOSEN}}} - antenna_node_gpus_allocatable{{{_CHOSEN}}})",
                    "{{node}}",
                ),
            ),
            GPUS,
            alerts=("AntennaGPULost",),
        ),
        Panel(
            "Open to pods",
            "0 while the node is cordoned: its GPUs are counted in quotas, and no job gets them.",
            (Query(f"min by (node) (antenna_node_schedulable{{{_CHOSEN}}})", "{{node}}"),),
            TRUE,
            alerts=("AntennaGPUNodesClosed",),
        ),
        Panel(
            "Ready",
            "0 while Kubernetes does not count the node as ready.",
            (Query(f"min by (node) (antenna_node_ready{{{_CHOSEN}}})", "{{node}}"),),
            TRUE,
            alerts=("AntennaNodeNotReady",),
        ),
        Panel(
            "Network layer decides",
            "0 while nobody decides about new connections of the node's pods: none is made.",
            (
                Query(
                    f"min by (node) (antenna_network_policy_enforcing{{{_CHOSEN}}})"
                    f' or min by (node) (up{{job="{NETWORK_POLICY_JOB}",{_CHOSEN}}})',
                    "{{node}}",
                ),
            ),
            TRUE,
            alerts=("AntennaNetworkPolicyDown",),
        ),
        Panel(
            "Memory free",
            "Of the machine, as its own exporter tells it.",
            (Query(f"min by (node) (node_memory_MemAvailable_bytes{{{_CHOSEN}}})", "{{node}}"),),
            BYTES,
        ),
        Panel(
            "Disks: room left",
            "Part of each disk: without any etcd, the ledger and the figures on the head stand still.",
            (
                Query(
                    f"min by (node, device) (node_filesystem_avail_bytes{{{DISKS},{_CHOSEN}}}"
                    f" / node_filesystem_size_bytes{{{DISKS},{_CHOSEN}}})",
                    "{{node}} {{device}}",
                ),
            ),
            OF_ONE,
            empty="no machine has a disk of its own: they are laid over their host's",
            alerts=("AntennaDiskNearlyFull",),
        ),
        Panel(
            "Clocks: off by",
            "Against the clock of the head, which stamps figures. A slow answer adds its own time.",
            (
                Query(
                    f"max by (node) (abs(node_time_seconds{{{_CHOSEN}}}"
                    f" - timestamp(node_time_seconds{{{_CHOSEN}}})))",
                    "{{node}}",
                ),
            ),
            SECONDS,
            alerts=("AntennaClockOff",),
        ),
        Panel(
            "Days until a kubelet's certificate ends",
            "It is renewed weeks before, by itself.",
            tuple(
                Query(
                    f"min by (node) (kubelet_certificate_manager_{use}_ttl_seconds{{{_CHOSEN}}}) / 86400",
                    f"{{{{node}}}} {use}",
                )
                for use in ("client", "server")
            ),
            DAYS,
            alerts=("AntennaKubeletCertificateEnds",),
        ),
    ),
)

_GPUS: Final = Row(
    "GPUs, one by one",
    (
        Panel(
            "Busy",
            "Part of the time in which the GPU computed.",
            (Query(f"{_of_gpu('DCGM_FI_DEV_GPU_UTIL')} / 100", _GPU),),
            OF_ONE,
            width=3,
            alerts=("AntennaGPUIdle",),
        ),
        Panel(
            "Power",
            "Held or idle.",
            (Query(_of_gpu("DCGM_FI_DEV_POWER_USAGE"), _GPU),),
            WATTS,
            width=3,
        ),
        Panel(
            "Temperature",
            "Of the GPU's core.",
            (Query(_of_gpu("DCGM_FI_DEV_GPU_TEMP"), _GPU),),
            CELSIUS,
            width=3,
        ),
        Panel(
            "Last XID",
            "The last error that the driver told of the GPU: 0 is none. NVIDIA's list says what each means.",
            (Query(_of_gpu("DCGM_FI_DEV_XID_ERRORS"), _GPU),),
            XID,
            width=3,
            alerts=("AntennaGPUHardwareError",),
        ),
    ),
)

NODES_AND_GPUS: Final = Dashboard(
    "gpus", "GPUs and nodes", "What do nodes offer, and is it well?", (_NODES, _GPUS), (_NODE,)
)
