"""RemoteSites, their flavors and what partners have of them; where a RemoteJob may go, and why nowhere."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra import remote
from infra.site import parse_site
from operators.api.remote_job import RemoteJobSpec
from operators.api.remote_site import RemoteSiteSpec, remote_site_object, site_of
from operators.api.tenant import TenantSpec, cohort_of, partner_of, tenant_object
from operators.dispatch.placement import Refused, places, seconds, shown
from operators.queues import GPU, Cohort, Flavor, cluster_queue, cohort_objects
from operators.sites.flavors import flavor_name, flavors, quotas
from operators.tenancy import Allocation, Quota, Tenant

KEYS = yaml.safe_load((Path(__file__).parents[2] / "Pulumi.example-site.yaml").read_text())["config"]
SITES = {
    site.name: site
    for site in remote.sites(
        parse_site({k.removeprefix("site:"): v for k, v in KEYS.items()}, "Pulumi.example-site.yaml")
    )
}
LUMI, JUPITER = SITES["lumi"], SITES["jupiter"]
YEAR = (date(2026, 1, 1), date(2026, 12, 31))
TODAY = date(2026, 6, 1)
LUMI_GPUS = Allocation("lumi", "project_465000001", Fraction(1000), "gpu-hours", *YEAR)
LUMI_CORES = Allocation("lumi", "project_465000001", Fraction(1000), "core-hours", *YEAR)
JUPITER_CORES = Allocation("jupiter", "antenna-vib", Fraction(1000), "core-hours", *YEAR)
ALL = (LUMI_GPUS, LUMI_CORES, JUPITER_CORES)
COHORT = Cohort("antenna", (Flavor("h100"), *flavors(SITES.values())))


def vib(*grants: Allocation) -> Tenant:
    mine = {"h100": {GPU: Quota(1)}} | quotas(grants, SITES.values())
    return Tenant("vib", "VIB", "flanders", ("science-research",), ("vib",), mine, allocations=grants)


# Sites


@pytest.mark.parametrize("name", SITES)
def test_a_remote_site_gives_the_site_back_that_it_was_made_of(name: str) -> None:
    spec = RemoteSiteSpec.model_validate(remote_site_object(SITES[name])["spec"])
    assert site_of(name, spec) == SITES[name]


def test_numbers_are_what_the_site_s_file_says_and_no_float() -> None:
    small = LUMI.partition("small-g")
    assert small is not None
    assert small.kwh_per_gpu_hour == Fraction(155, 1000)
    assert small.max_seconds == 72 * 3600
    debug = LUMI.partition("debug")
    assert debug is not None
    assert debug.max_seconds == 1800


@pytest.mark.parametrize(
    "billing",
    [
        {"rule": "whole-nodes", "unit": "gpu-hours"},
        {"rule": "largest-share", "unit": "gpu-hours", "factor": "0.5"},
        {"rule": "by-weight", "unit": "gpu-hours"},
        {"rule": "whole-nodes", "unit": "gpu-hours", "perNodeHour": "-4"},
    ],
)
def test_a_billing_rule_that_cannot_be_reckoned_is_refused(billing: dict[str, Any]) -> None:
    spec = remote_site_object(LUMI)["spec"]
    spec["partitions"][0]["billing"] = billing
    with pytest.raises(ValidationError):
        RemoteSiteSpec.model_validate(spec)


# Queues


@pytest.mark.parametrize(
    ("site", "partition", "flavor"),
    [("lumi", "small-g", "lumi-small-g"), ("czai", "GPU_fast", "czai-gpu-fast")],
)
def test_a_flavor_is_called_after_its_site_and_partition(site: str, partition: str, flavor: str) -> None:
    assert flavor_name(site, partition) == flavor


def test_remote_flavors_are_tainted_and_select_by_their_own_name() -> None:
    found = {o["metadata"]["name"]: o for o in cohort_objects(COHORT) if o["kind"] == "ResourceFlavor"}
    assert found["h100"]["spec"] == {}
    assert found["lumi-small-g"]["spec"] == {
        "nodeLabels": {"antenna.be/flavor": "lumi-small-g"},
        "nodeTaints": [{"key": "antenna.be/remote", "value": "true", "effect": "NoSchedule"}],
    }


def test_the_checks_are_the_operator_s() -> None:
    checks = [o for o in cohort_objects(COHORT) if o["kind"] == "AdmissionCheck"]
    assert [o["metadata"]["name"] for o in checks] == ["budget", "site-health"]
    assert {o["spec"]["controllerName"] for o in checks} == {"antenna.be/remote-jobs"}


def test_what_is_local_is_queued_as_where_there_is_nothing_remote() -> None:
    alone = Cohort("antenna", (Flavor("h100"),))
    (local, remote_group) = cluster_queue(vib(*ALL), COHORT)["spec"]["resourceGroups"]
    assert [local] == cluster_queue(vib(), alone)["spec"]["resourceGroups"]
    assert cohort_objects(alone)[-1] == cohort_objects(COHORT)[-1]
    assert remote_group["coveredResources"] == ["antenna.be/remote-core", "antenna.be/remote-gpu"]
    assert "admissionChecksStrategy" not in cluster_queue(vib(), alone)["spec"]


def test_what_is_remote_is_a_partner_s_own_and_passes_both_checks() -> None:
    tenant = vib(LUMI_GPUS)
    spec = TenantSpec.model_validate(tenant_object(tenant, COHORT)["spec"])
    queue = cluster_queue(partner_of("vib", spec), cohort_of(spec))["spec"]
    flavors_there = {f["name"]: f["resources"] for f in queue["resourceGroups"][1]["flavors"]}
    assert list(flavors_there) == ["lumi-standard-g", "lumi-small-g", "lumi-dev-g"]
    none = {"nominalQuota": "0", "borrowingLimit": "0", "lendingLimit": "0"}
    assert flavors_there["lumi-small-g"] == [
        {"name": "antenna.be/remote-core", **none},
        # As many of one node as it runs at a time: 200; the largest has 4.
        {"name": "antenna.be/remote-gpu", **none, "nominalQuota": "1600"},
    ]
    checks = queue["admissionChecksStrategy"]["admissionChecks"]
    assert checks == [{"name": name, "onFlavors": list(flavors_there)} for name in ("budget", "site-health")]


def test_a_tenant_gives_its_allocations_back() -> None:
    spec = TenantSpec.model_validate(tenant_object(vib(*ALL), COHORT)["spec"])
    assert partner_of("vib", spec).allocations == ALL


# Places


def job(**spec: Any) -> RemoteJobSpec:
    wanted = {"site": "lumi", "partition": "small-g", "gpusPerNode": 1, "timeLimit": "1h", "script": "x"}
    return RemoteJobSpec.model_validate({k: v for k, v in {**wanted, **spec}.items() if v is not None})


def refusal(spec: RemoteJobSpec, grants: tuple[Allocation, ...] = ALL) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        places(spec, SITES, grants, TODAY)
    return refused.value.reason, str(refused.value)


def test_a_job_for_any_may_go_wherever_it_fits_and_is_paid_for() -> None:
    anywhere = job(site="any", partition=None, gpusPerNode=4)
    found = places(anywhere, SITES, ALL, TODAY)
    # standard-g gives whole nodes of 8, which is not what was asked for.
    assert [place.flavor for place in found] == ["lumi-small-g", "lumi-dev-g", "jupiter-booster"]
    assert {place.gpus_per_node for place in found} == {4}
    assert [p.flavor for p in places(anywhere, SITES, (JUPITER_CORES,), TODAY)] == ["jupiter-booster"]
    long = job(site="any", partition=None, gpusPerNode=4, timeLimit="70h")
    assert [place.flavor for place in places(long, SITES, ALL, TODAY)] == ["lumi-small-g"]


def test_whole_nodes_are_asked_for_where_whole_nodes_are_billed() -> None:
    (place,) = places(job(site="jupiter", partition="booster", gpusPerNode=None, nodes=3), SITES, ALL, TODAY)
    assert (place.nodes, place.gpus_per_node, place.cores_per_node) == (3, 4, 288)


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"site": "lumni"}, "UnknownSite", "did you mean lumi?"),
        ({"site": "mare-nostrum"}, "UnknownSite", "there are: lumi, jupiter"),
        ({"partition": "smallg"}, "UnknownPartition", "did you mean small-g?"),
        ({"partition": "booster"}, "UnknownPartition", "there are: standard-g, small-g, dev-g"),
        ({"timeLimit": "73h"}, "TooLong", "at most 72h"),
        ({"partition": "dev-g", "timeLimit": "4h"}, "TooLong", "at most 3h; standard-g allows 48h"),
        ({"timeLimit": "0h"}, "BadTimeLimit", "write 1h, 30m or 90s"),
        ({"nodes": 5}, "TooManyNodes", "at most 4"),
        ({"gpusPerNode": 9}, "TooManyGPUs", "at most 8"),
        ({"gpusPerNode": None}, "NoGPUs", "gpusPerNode: 1 to 8"),
        ({"partition": "standard-g", "gpusPerNode": 4}, "WholeNodes", "leave gpusPerNode out, or ask for 8"),
        ({"partition": "standard-g", "gpusPerNode": None, "cores": 7}, "WholeNodes", "leave cores out"),
        ({"partition": "standard", "gpusPerNode": 1}, "TooManyGPUs", "at most 0"),
        ({"site": "any", "partition": None, "timeLimit": "80h"}, "TooLong", "no partition fits"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest_that_can(
    spec: dict[str, Any], reason: str, says: str
) -> None:
    found, message = refusal(job(**spec))
    assert found == reason, message
    assert says in message


def test_a_project_is_the_partner_s_own_that_pays_in_the_partition_s_unit_today() -> None:
    assert refusal(job(), ())[0] == "NoProject"
    assert "it has one at jupiter" in refusal(job(), (JUPITER_CORES,))[1]
    assert refusal(job(), (LUMI_CORES,))[0] == "NoProject"
    past = Allocation(
        "lumi", "project_465000009", Fraction(1), "gpu-hours", date(2025, 1, 1), date(2025, 2, 1)
    )
    assert "ended on 2025-02-01" in refusal(job(), (past,))[1]
    (place,) = places(job(), SITES, (past, LUMI_GPUS), TODAY)
    assert place.project == "project_465000001"


@pytest.mark.parametrize(
    ("text", "number"), [("1h30m", 5400), ("90m", 5400), ("45s", 45), ("72h", 259200), ("1h1s", 3601)]
)
def test_time_limits_are_seconds(text: str, number: int) -> None:
    assert seconds(text) == number
    assert seconds(shown(number)) == number
