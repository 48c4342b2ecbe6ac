"""The site as a model: what is derived, what ships, what stays as it was when a site grows."""

from __future__ import annotations

import dataclasses
from datetime import date
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.paths import REPOSITORY, site_file
from infra.site import Site, parse_site
from infra.site import remote as entry
from infra.site.remote import LargestShare, WholeNodes
from infra.sitefile import load, stacks
from infra.suggestion import nearest
from operators.sites import model
from operators.tenancy import ECOSYSTEMS, PRIORITY_SECTORS, SECTORS
from tests.unit.site_examples import DROP, EMBEDDED, EXISTING, HOST_KEY, edited

FILE = "Pulumi.x.yaml"
PARTNERS = {
    "Imec": "flanders",
    "KU Leuven": "flanders",
    "University of Antwerp": "flanders",
    "Ghent University": "flanders",
    "Hasselt University": "flanders",
    "VIB": "flanders",
    "VUB": "brussels-capital",
    "ULB": "brussels-capital",
    "Sirris": "brussels-capital",
    "BELSPO": "federal",
    "Belnet": "federal",
    "FPS BOSA": "federal",
    "FPS Economy": "federal",
    "Sciensano": "federal",
    "SCK CEN": "federal",
}


def parse(site: dict[str, Any]) -> Site:
    return parse_site(site, source=FILE)


def pods(site: Site) -> dict[str, str]:
    return {machine.name: site.pods(machine) for machine in site.nodes}


def test_every_site_that_ships_is_right() -> None:
    assert {"embedded", "example-site"} <= set(stacks())
    for stack in ("embedded", "example-site"):
        assert load(site_file(stack)).stack == stack


def test_the_embedded_site_is_a_head_and_two_nodes_with_four_simulated_gpus_each() -> None:
    site = load(site_file("embedded"))
    assert [(m.name, m.role, str(m.address)) for m in site.machines] == [
        ("head", "head", "10.77.0.10"),
        ("gpu-1", "gpu", "10.77.0.11"),
        ("gpu-2", "gpu", "10.77.0.12"),
        ("lumi", "site", "10.77.0.20"),
        ("jupiter", "site", "10.77.0.21"),
    ]
    assert site.gpus == {"h100": 8}
    assert all(m.gpus.simulated for m in site.machines if m.gpus)
    assert pods(site) == {"head": "10.78.0.0/24", "gpu-1": "10.78.1.0/24", "gpu-2": "10.78.2.0/24"}


@pytest.mark.parametrize("stack", ["embedded", "example-site"])
def test_the_fifteen_named_partners_are_there_and_every_gpu_is_given_out(stack: str) -> None:
    site = load(site_file(stack))
    assert {tenant.title: tenant.ecosystem for tenant in site.tenants} == PARTNERS
    assert site.unassigned == {"h100": 0}


def test_the_example_is_a_head_and_eight_gpu_nodes_that_exist_with_lumi_and_jupiter() -> None:
    site = load(site_file("example-site"))
    assert site.platform == "ssh"
    assert [m.role for m in site.machines] == ["head"] + ["gpu"] * 8
    assert len({m.host_key for m in site.machines}) == 9
    assert [remote.name for remote in site.sites] == ["lumi", "jupiter"]


def test_lumi_and_jupiter_bill_and_limit_as_they_publish() -> None:
    lumi, jupiter = load(site_file("example-site")).sites
    partitions = {p.name: p for p in (*lumi.partitions, *jupiter.partitions)}
    limits = {name: (p.limits.hours, p.limits.nodes) for name, p in partitions.items()}
    assert limits["standard-g"] == (48, 1024)
    assert limits["small-g"] == (72, 4)
    assert limits["dev-g"] == (3, 32)
    assert limits["booster"][0] == 12
    assert partitions["standard-g"].billing == WholeNodes(
        rule="whole-nodes", unit="gpu-hours", per_node_hour=4
    )
    share = LargestShare(
        rule="largest-share", unit="gpu-hours", factor=0.5, cores_per_slot=8, memory_gib_per_slot=64
    )
    assert partitions["small-g"].billing == partitions["dev-g"].billing == share
    assert partitions["booster"].billing == WholeNodes(
        rule="whole-nodes", unit="core-hours", per_node_hour=288
    )
    assert {s.name: s.factor for s in lumi.storage} == {"LUMI-P": 1, "LUMI-F": 10, "LUMI-O": 0.5}
    # 4.46 MJ a GPU-node-hour, eight GPUs a node as Slurm counts them.
    assert partitions["standard-g"].kwh_per_gpu_hour == pytest.approx(4.46 / 3.6 / 8, abs=0.001)
    assert partitions["booster"].node.architecture == "aarch64"
    assert jupiter.accounting.carry_over_months == 1
    assert jupiter.access.key_types == ("ed25519",)
    assert not jupiter.access.pooled_accounts
    assert lumi.units == ("gpu-hours", "core-hours", "tb-hours")


def test_one_login_may_serve_several_partners_where_the_site_says_so() -> None:
    grant = {**EMBEDDED["tenants"][0]["allocations"][0], "project": "project_465000002"}
    shared = edited(
        EMBEDDED,
        ("sites[0].access.pooled_accounts", True),
        ("tenants[1].allocations", [grant]),
        *((f"tenants[{number}].logins", {"lumi": "antenna"}) for number in (0, 1)),
    )
    site = parse_site(shared, source="Pulumi.shared.yaml")
    assert {tenant.login("lumi") for tenant in site.tenants} == {"antenna"}


def test_every_key_of_a_sites_access_gets_to_what_keeps_to_it() -> None:
    assert set(entry.Access.model_fields) == {one.name for one in dataclasses.fields(model.Access)}


def test_the_vocabulary_is_the_antennas() -> None:
    assert len(SECTORS) == len(set(SECTORS)) == 13
    assert len(PRIORITY_SECTORS) == 5
    assert ECOSYSTEMS == ("flanders", "wallonia", "brussels-capital", "federal")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("health", "health-biotech-life-sciences"),
        ("Science research", "science-research"),
        ("agrifood", "agri-food"),
        ("robotics", "manufacturing-robotics-process-control"),
        ("poetry", None),
    ],
)
def test_a_sector_is_guessed_from_what_was_written(word: str, meant: str | None) -> None:
    assert nearest(word, SECTORS) == meant


def test_pods_follow_the_address_and_nothing_else() -> None:
    grown = edited(
        EMBEDDED,
        ("machines[0].pods", DROP),
        ("machines[3]", {"name": "cpu-1", "role": "worker", "address": "10.77.0.9"}),
    )
    shrunk = edited(grown, ("machines[1]", DROP), ("tenants[0].quota.h100", 0))
    assert pods(parse(grown)) == {
        "head": "10.78.10.0/24",
        "gpu-1": "10.78.11.0/24",
        "gpu-2": "10.78.12.0/24",
        "cpu-1": "10.78.9.0/24",
    }
    assert pods(parse(shrunk)).items() < pods(parse(grown)).items()


def test_the_gateway_and_the_dns_service_follow_from_the_ranges() -> None:
    network = parse(edited(EMBEDDED, ("network.gateway", DROP))).network
    assert network.gateway_address == IPv4Address("10.77.0.1")
    assert network.dns_address == IPv4Address("10.79.0.10")


def test_a_new_partner_is_one_row_of_data() -> None:
    row = {
        "name": "walloon-1",
        "title": "A Walloon actor",
        "ecosystem": "wallonia",
        "sectors": ["space-aeronautics"],
        "groups": ["walloon-1"],
        "quota": {},
    }
    site = parse(edited(EMBEDDED, ("tenants[2]", row)))
    assert site.tenants[-1].ecosystem == "wallonia"
    assert site.unassigned == {"h100": 0}


def test_twenty_three_partners_fit() -> None:
    document = yaml.safe_load(site_file("embedded").read_text())["config"]
    keys = {key.removeprefix("site:"): value for key, value in document.items()}
    for n in range(8):
        keys["tenants"].append(
            {**keys["tenants"][-1], "name": f"walloon-{n}", "groups": [f"w{n}"], "ecosystem": "wallonia"}
        )
    assert len(parse(keys).tenants) == 23


def test_gpus_that_nobody_can_use_are_counted() -> None:
    assert parse(edited(EMBEDDED, ("tenants[0].quota.h100", 1))).unassigned == {"h100": 3}


def test_a_model_without_a_remote_site_still_stands() -> None:
    assert parse(edited(EMBEDDED, ("sites", DROP), ("tenants[0].allocations", DROP))).sites == ()


def test_a_host_key_is_kept_without_address_and_comment() -> None:
    scanned = f"10.77.0.10 {HOST_KEY} root@head"
    site = parse(edited(EXISTING, ("machines[0].host_key", scanned)))
    assert site.machines[0].host_key == HOST_KEY


def test_a_date_may_be_written_with_or_without_quotes() -> None:
    unquoted = edited(EMBEDDED, ("tenants[0].allocations[0].start", date(2026, 1, 1)))
    assert parse(unquoted) == parse(EMBEDDED)
    # Pulumi hands an unquoted date over as a time.
    as_time = edited(EMBEDDED, ("tenants[0].allocations[0].start", "2026-01-01T00:00:00Z"))
    assert parse(as_time) == parse(EMBEDDED)


def test_a_site_is_frozen() -> None:
    site = parse(EMBEDDED)
    with pytest.raises(ValidationError):
        site.platform = "ssh"  # type: ignore[misc]


def test_the_costs_are_split_by_funder() -> None:
    assert parse(EMBEDDED).funding.shares == {"eurohpc": 0.5, "national": 0.5}


def test_the_shipped_files_stay_readable() -> None:
    for stack in ("embedded", "example-site"):
        for line in site_file(stack).read_text().splitlines():
            assert len(line) <= 120, line


def test_the_stack_may_be_said_apart_from_the_files_name() -> None:
    assert parse_site(EMBEDDED, source="site.yaml", stack="t1").stack == "t1"


def test_the_project_is_the_one_that_both_engines_expect() -> None:
    project = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
    assert project["name"] == "antenna"
    assert project["backend"] == {"url": "file://~"}
    assert project["runtime"] == {"name": "python", "options": {"virtualenv": ".venv"}}
    (provider,) = project["plugins"]["providers"]
    assert provider["name"] == "antenna"
    assert (REPOSITORY / provider["path"] / "PulumiPlugin.yaml").is_file()
    assert (REPOSITORY / project["main"] / "__main__.py").is_file()


def test_the_embedded_sites_lumi_and_jupiter_are_the_real_ones_but_for_the_way_there() -> None:
    site, real = load(site_file("embedded")), load(site_file("example-site"))
    assert [machine.name for machine in site.ends] == ["lumi", "jupiter"]
    assert [str(link.endpoint_address) for link in site.links] == ["10.76.0.2", "10.76.0.6"]
    assert [remote.access.host for remote in site.sites] == ["10.76.0.2", "10.76.0.6"]
    assert sum(len(tenant.allocations) for tenant in site.tenants) == 12
    for here, there in zip(site.sites, real.sites, strict=True):
        way = {name: getattr(there.access, name) for name in ("host", "poll_floor_seconds")}
        assert here.model_copy(update={"access": here.access.model_copy(update=way)}) == there
