"""Small sites that hold together, and edits of them."""

from __future__ import annotations

import copy
import re
from typing import Any

DROP = object()
"""Edited to this, a key leaves the site."""

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDYxk5wLxpBbkmm0rM6FYfjpQyxIz3Kd5YgW0oVYyIuJ"

EMBEDDED: dict[str, Any] = {
    "platform": "embedded",
    "network": {
        "cidr": "10.77.0.0/24",
        "gateway": "10.77.0.1",
        "pods": "10.78.0.0/16",
        "services": "10.79.0.0/16",
    },
    "machines": [
        {"name": "head", "role": "head", "address": "10.77.0.10", "pods": "10.78.0.0/24"},
        {
            "name": "gpu-1",
            "role": "gpu",
            "address": "10.77.0.11",
            "gpus": {"model": "NVIDIA-H100-80GB-HBM3", "count": 4, "simulated": True},
        },
        {
            "name": "gpu-2",
            "role": "gpu",
            "address": "10.77.0.12",
            "gpus": {"model": "NVIDIA-H100-80GB-HBM3", "count": 4, "simulated": True},
        },
    ],
    "cohort": {
        "name": "antenna",
        "flavors": [
            {
                "name": "h100",
                "gpu_model": "NVIDIA-H100-80GB-HBM3",
                "cpus_per_gpu": 0.25,
                "memory_gib_per_gpu": 0.5,
                "shared": {"gpus": 1, "cpus": 1, "memory_gib": 4},
            }
        ],
    },
    "tenants": [
        {
            "name": "imec",
            "title": "Imec",
            "ecosystem": "flanders",
            "sectors": ["digital-services"],
            "groups": ["imec"],
            "quota": {"h100": 4},
            "allocations": [
                {
                    "site": "lumi",
                    "project": "project_465000001",
                    "amount": 20000,
                    "unit": "gpu-hours",
                    "start": "2026-01-01",
                    "end": "2026-12-31",
                }
            ],
        },
        {
            "name": "ulb",
            "title": "ULB",
            "ecosystem": "brussels-capital",
            "sectors": ["science-research", "health-biotech-life-sciences"],
            "groups": ["ulb"],
            "quota": {"h100": 3},
        },
    ],
    "sites": [
        {
            "name": "lumi",
            "title": "LUMI",
            "operator": "CSC",
            "country": "FI",
            "access": {"host": "lumi.csc.fi", "poll_floor_seconds": 60, "connections_per_minute": 1},
            "accounting": {"tool": "lumi-allocations", "refreshed": "irregularly", "period": "project"},
            "projects": {"pattern": "project_46[0-9]{7}", "example": "project_465000001"},
            "partitions": [
                {
                    "name": "standard-g",
                    "whole_nodes": True,
                    "node": {"gpus": 8},
                    "limits": {"hours": 48, "nodes": 1024},
                    "billing": {"rule": "whole-nodes", "unit": "gpu-hours", "per_node_hour": 4},
                }
            ],
        }
    ],
}


def edited(site: dict[str, Any], *edits: tuple[str, Any]) -> dict[str, Any]:
    """A copy of a site with each ("machines[2].address", value) put in; ``DROP`` takes the key out."""
    copied = copy.deepcopy(site)
    for path, value in edits:
        *way, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
        place: Any = copied
        for part in way:
            place = place[part]
        if value is DROP:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return copied


def on_existing_machines() -> dict[str, Any]:
    """The same site on machines that exist."""
    site = edited(EMBEDDED, ("platform", "ssh"))
    for machine in site["machines"]:
        machine |= {"user": "antenna", "host_key": HOST_KEY}
        if "gpus" in machine:
            del machine["gpus"]["simulated"]
    return site


EXISTING = on_existing_machines()

REMOTE: dict[str, Any] = edited(
    EMBEDDED,
    ("machines[3]", {"name": "lumi", "role": "site", "address": "10.77.0.20"}),
    ("links", [{"name": "lumi", "site": "lumi", "endpoint": "lumi", "cidr": "10.76.0.0/30"}]),
    ("sites[0].access.host", "10.76.0.2"),
)
"""The embedded site with a machine that plays LUMI, and the link to it."""


ONCALL: dict[str, Any] = edited(
    EMBEDDED,
    (
        "oncall",
        {
            "receivers": [{"name": "pager", "webhook": {}}, {"name": "room", "chat": {}}],
            "hours": [{"name": "office", "timezone": "Europe/Brussels", "begin": "08:00", "end": "18:00"}],
            "platform": {
                "contact": "Antenna on-call, +32 2 555 01 00",
                "routes": [
                    {"receivers": ["pager"]},
                    {"receivers": ["room"], "severities": ["warning"], "hours": "office"},
                ],
            },
            "watchdog": "pager",
        },
    ),
)
