"""What was changed behind the site's back is named by `refresh` and mended by `up`."""

from __future__ import annotations

import json

from infra.provider import container
from tests.live.site_under_test import SiteUnderTest, eventually

SHARED_GPUS = "/spec/resourceGroups/0/flavors/0/resources/2"


def drift(site: SiteUnderTest) -> str:
    steps = json.loads(site.antenna("refresh", "--yes", "--json").stdout)["steps"]
    return "\n".join(f"{s['name']}: {line}" for s in steps for line in s.get("drift") or [])


def test_refresh_names_five_faults_and_up_mends_them(site: SiteUnderTest) -> None:
    partner = site.config["config"]["site:tenants"][0]["name"]
    cohort = site.config["config"]["site:cohort"]["name"]
    site.kubectl("patch", "tenant", partner, "--type=merge", "-p", '{"spec": {"weight": "7"}}')
    more = [{"op": "replace", "path": f"{SHARED_GPUS}/nominalQuota", "value": "7"}]
    site.kubectl("patch", "cohort", cohort, "--type=json", "-p", json.dumps(more))
    site.on("gpu-1", "echo '# edited by hand' >> /etc/containerd/config.toml")
    route = site.on("head", "ip -4 route show").split("\n")
    pods = next(r for r in route if r.startswith(f"{site.ranges[1]}") and " via " in r)
    site.on("head", f"ip route del {pods.split()[0]}")
    container.stop(site.stack, "gpu-2")

    named = drift(site)
    assert "gpu-2" in named and "stopped" in named
    assert f"tenant-{partner}: Tenant {partner}: spec.weight is 7, declared 1" in named
    assert f"queues: Cohort {cohort}: spec.resourceGroups" in named and "nominalQuota is 7" in named
    assert "gpu-1" in named and "/etc/containerd/config.toml" in named
    assert pods.split()[0] in named

    site.antenna("up", "--yes")
    assert drift(site) == ""
    assert site.get("tenant", partner)["spec"]["weight"] == "1"
    assert pods.split()[0] in site.on("head", "ip -4 route show")
    assert "edited by hand" not in site.on("gpu-1", "cat /etc/containerd/config.toml")
    eventually(
        "gpu-2 is Ready again with its GPUs",
        lambda: site.get("node", "gpu-2")["status"]["allocatable"].get("nvidia.com/gpu") == "4",
    )


def test_the_operator_mends_what_is_a_partners_without_being_asked(site: SiteUnderTest) -> None:
    first, second = (t["name"] for t in site.config["config"]["site:tenants"][:2])
    queue = site.get("clusterqueue", first)
    declared = json.loads(json.dumps(queue["spec"]))
    for group in queue["spec"]["resourceGroups"]:
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                if resource["name"] == "nvidia.com/gpu":
                    resource["nominalQuota"] = "7"
    site.kubectl("replace", "-f", "-", given=json.dumps(queue))
    namespace = f"tenant-{second}"
    site.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce-")
    site.kubectl("delete", "localqueue", "-n", namespace, "default")

    eventually(
        "the quota is the declared one", lambda: site.get("clusterqueue", first)["spec"] == declared, 30
    )
    eventually(
        "the namespace is restricted again",
        lambda: (
            site.get("namespace", namespace)["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
            == "restricted"
        ),
        30,
    )
    eventually("the queue is there again", lambda: site.get("localqueues", "-n", namespace)["items"], 30)
    assert drift(site) == ""
