"""What was changed behind the site's back is named by `refresh` and mended by `up`."""

from __future__ import annotations

import json

from infra.provider import container
from tests.live.site_under_test import SiteUnderTest, eventually


def drift(site: SiteUnderTest) -> str:
    steps = json.loads(site.antenna("refresh", "--yes", "--json").stdout)["steps"]
    return "\n".join(f"{s['name']}: {line}" for s in steps for line in s.get("drift") or [])


def test_refresh_names_five_faults_and_up_mends_them(site: SiteUnderTest) -> None:
    first, second = (t["name"] for t in site.config["config"]["site:tenants"][:2])
    namespace = site.get("localqueues", "-A")["items"]
    home = {q["spec"]["clusterQueue"]: q["metadata"]["namespace"] for q in namespace}

    queue = site.get("clusterqueue", first)
    for group in queue["spec"]["resourceGroups"]:
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                if resource["name"] == "nvidia.com/gpu":
                    resource["nominalQuota"] = "7"
    site.kubectl("replace", "-f", "-", given=json.dumps(queue))
    site.kubectl("label", "namespace", home[second], "pod-security.kubernetes.io/enforce-")
    site.on("gpu-1", "echo '# edited by hand' >> /etc/containerd/config.toml")
    route = site.on("head", "ip -4 route show").split("\n")
    pods = next(r for r in route if r.startswith(f"{site.ranges[1]}") and " via " in r)
    site.on("head", f"ip route del {pods.split()[0]}")
    container.stop(site.stack, "gpu-2")

    named = drift(site)
    assert "gpu-2" in named and "stopped" in named
    assert "nominalQuota" in named and f"tenant-{first}" in named
    assert "pod-security.kubernetes.io/enforce" in named and f"tenant-{second}" in named
    assert "gpu-1" in named and "/etc/containerd/config.toml" in named
    assert pods.split()[0] in named

    site.antenna("up", "--yes")
    assert drift(site) == ""
    assert pods.split()[0] in site.on("head", "ip -4 route show")
    assert "edited by hand" not in site.on("gpu-1", "cat /etc/containerd/config.toml")
    eventually(
        "gpu-2 is Ready again with its GPUs",
        lambda: site.get("node", "gpu-2")["status"]["allocatable"].get("nvidia.com/gpu") == "4",
    )
