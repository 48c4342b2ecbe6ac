"""docs/adding-a-site.md, walked: a third site is its entry, and no code."""

from __future__ import annotations

import re
import textwrap
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import remote
from infra.paths import REPOSITORY, site_file
from infra.site import Site, parse_site
from infra.sitefile import load, read
from operators.api.remote_job import RemoteJobSpec
from operators.api.remote_site import RemoteSiteSpec, remote_site_object, site_of
from operators.dispatch.placement import Refused, places
from operators.queues import REMOTE_GPU
from operators.sites.flavors import flavors, quotas
from operators.usage.billing import estimate

NAME = "karolaina"
PAGE = (REPOSITORY / "docs/adding-a-site.md").read_text()
ENTRY, GRANT = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE = site_file("example-site")
PARTNER = "vib"
TODAY = date(2026, 6, 1)


def walked() -> Site:
    """The example site with both blocks of the page in it."""
    keys = read(EXAMPLE)
    keys["sites"] += yaml.safe_load(ENTRY)
    partner = next(one for one in keys["tenants"] if one["name"] == PARTNER)
    partner["allocations"] = [*partner.get("allocations", ()), *yaml.safe_load(GRANT)["allocations"]]
    return parse_site(keys, source="Pulumi.walked.yaml")


SITE = walked()
KAROLAINA = remote.sites(SITE)[-1]
GRANTS = remote.allocations(next(tenant for tenant in SITE.tenants if tenant.name == PARTNER))


def test_the_entry_is_right_as_it_stands_at_the_end_of_the_example_s_file(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.walked.yaml"
    file.write_text(EXAMPLE.read_text() + ENTRY)
    assert [site.name for site in load(file).sites] == ["lumi", "jupiter", NAME]
    assert load(file).sites[-1] == SITE.sites[-1]


def test_a_mistake_in_it_is_refused_with_the_nearest_that_is_right() -> None:
    keys = read(EXAMPLE)
    keys["sites"] += yaml.safe_load(ENTRY)
    keys["tenants"][0]["allocations"] = yaml.safe_load(GRANT.replace(NAME, "karolina"))["allocations"]
    with pytest.raises(Exception, match=f"did you mean {NAME}"):
        parse_site(keys, source="Pulumi.walked.yaml")


def test_the_operator_is_given_it_whole() -> None:
    spec = RemoteSiteSpec.model_validate(remote_site_object(KAROLAINA)["spec"])
    assert site_of(NAME, spec) == KAROLAINA
    assert re.fullmatch(KAROLAINA.project_pattern, GRANTS[-1].project)


def rows() -> list[list[str]]:
    """The jobs that the page reckons."""
    table = PAGE.partition("| partition | nodes |")[2].split("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: " ".join(row[:4]))
def test_its_jobs_cost_what_the_page_says(row: list[str]) -> None:
    name, nodes, gpus, hours, units, theirs = row
    partition = KAROLAINA.partition(name)
    assert partition is not None
    amount, unit = units.split()
    cost = estimate(partition, nodes=int(nodes), gpus_per_node=int(gpus), seconds=int(hours) * 3600)
    assert (cost, partition.billing.unit) == (Fraction(amount), unit)
    # The site's formulas: allocated nodes * time, and allocated gpus * time / 8.
    of_site = int(nodes) * int(hours) if gpus == "0" else Fraction(int(nodes) * int(gpus) * int(hours), 8)
    assert of_site == Fraction(theirs)


@pytest.mark.parametrize("gpus", range(1, 9))
def test_cores_and_memory_never_decide_what_a_gpu_costs(gpus: int) -> None:
    partition = KAROLAINA.partition("qgpu")
    assert partition is not None
    for nodes in (1, 2, 16):
        whole = {"cores": 128 * nodes, "memory_mib": 1024 * 1024 * nodes}
        cost = estimate(partition, nodes=nodes, gpus_per_node=gpus, seconds=3600, **whole)
        assert cost == nodes * gpus


def test_its_flavors_are_those_of_the_page_and_the_partner_has_those_that_it_pays_for() -> None:
    names = [flavor.name for flavor in flavors([KAROLAINA])]
    assert names == ["karolaina-qgpu", "karolaina-qgpu-exp", "karolaina-qcpu"]
    assert all(f"`{name}`" in PAGE for name in names)
    mine = quotas(GRANTS, remote.sites(SITE))
    assert {flavor: mine[flavor] for flavor in mine if flavor.startswith(NAME)} == mine
    assert {flavor: quota[REMOTE_GPU].nominal for flavor, quota in mine.items()} == {
        "karolaina-qgpu": 16 * 8,
        "karolaina-qgpu-exp": 8 * 8,
    }


def test_jobs_go_there_and_are_refused_by_its_own_limits() -> None:
    sites = {site.name: site for site in remote.sites(SITE)}

    def job(**spec: Any) -> RemoteJobSpec:
        wanted = {"site": NAME, "partition": "qgpu", "gpusPerNode": 4, "timeLimit": "10h", "script": "x"}
        return RemoteJobSpec.model_validate({**wanted, **spec})

    (place,) = places(job(), sites, GRANTS, TODAY)
    assert (place.flavor, place.project, place.gpus_per_node) == ("karolaina-qgpu", "open-33-12", 4)
    with pytest.raises(Refused, match="at most 48h"):
        places(job(timeLimit="49h"), sites, GRANTS, TODAY)
    with pytest.raises(Refused, match="did you mean qgpu"):
        places(job(partition="qgpus"), sites, GRANTS, TODAY)


def test_no_code_knows_it() -> None:
    for part in ("infra", "operators", "playbooks", "monitoring"):
        for file in (REPOSITORY / part).rglob("*.py"):
            assert NAME not in file.read_text().lower(), f"{file} is about one site"


def test_what_is_not_published_is_marked() -> None:
    """Where to connect and how often: nobody may take these from here."""
    lines = textwrap.dedent(ENTRY).splitlines()
    for key in ("host:", "poll_floor_seconds:", "connections_per_minute:", "limits:"):
        assert all(line.rstrip().endswith("# ASK") for line in lines if key in line)
