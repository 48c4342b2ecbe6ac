"""The embedded site with LUMI and JUPITER played by two more machines, and the links to them."""

from __future__ import annotations

from typing import Any

from infra.sitefile import path_of, read

PLAYED = ("lumi", "jupiter")
FIRST_HOST = 20

GRANTS: dict[str, dict[str, Any]] = {
    "lumi": {"amount": 20000, "unit": "gpu-hours"},
    "jupiter": {"amount": 500000, "unit": "core-hours"},
}
PROJECTS = {"lumi": "project_46500{number:04}", "jupiter": "antenna-{tenant}"}
PERIOD = {"start": "2026-01-01", "end": "2036-12-31"}

TENANTS = ("imec", "ku-leuven", "ugent", "ulb", "vib", "vub")
"""Who has projects there."""


def with_remote_sites(config: dict[str, Any]) -> None:
    """Edit a stack file's ``config``: what `site:machines`, `site:links`, `site:sites` and allocations gain.

    The sites are those of Pulumi.example-site.yaml but for their address, which is the tunnel's other end.
    Tunnels take the range below the machines' own: 10.76.0.0/30 and 10.76.0.4/30 beside 10.77.0.0/24.
    """
    _, second, third, _ = config["site:network"]["cidr"].split("/")[0].split(".")
    entries = {site["name"]: site for site in read(path_of("example-site"))["sites"]}
    config["site:links"], config["site:sites"] = [], []
    for number, name in enumerate(PLAYED):
        address = f"10.{second}.{third}.{FIRST_HOST + number}"
        config["site:machines"].append({"name": name, "role": "site", "address": address})
        tunnel = f"10.{int(second) - 1}.{third}.{4 * number}"
        config["site:links"].append({"name": name, "site": name, "endpoint": name, "cidr": f"{tunnel}/30"})
        far = f"10.{int(second) - 1}.{third}.{4 * number + 2}"
        site = entries[name]
        config["site:sites"].append({**site, "access": {**site["access"], "host": far}})
    for number, tenant in enumerate(t for t in config["site:tenants"] if t["name"] in TENANTS):
        tenant["allocations"] = [
            {
                "site": name,
                "project": PROJECTS[name].format(number=number + 1, tenant=tenant["name"]),
                **GRANTS[name],
                **PERIOD,
            }
            for name in PLAYED
        ]
