"""What the program declares for a site, and what an edit of the site changes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra import issuer, paths
from infra.paths import site_file
from infra.site import parse_site
from infra.sitefile import read
from infra.tools import artifacts, operator_image
from infra.tools.failure import ToolError
from operators.manifests import NAME as OPERATOR
from tests.unit.program import UNKNOWN, Program, declare, difference
from tests.unit.site_examples import DROP, EMBEDDED, EXISTING, HOST_KEY, REMOTE, edited

DECLARED = f"ValidatingAdmissionPolicy/{OPERATOR}-declared"
"""Names the Tenants that there are to be."""

GPU_3 = {
    "name": "gpu-3",
    "role": "gpu",
    "address": "10.77.0.13",
    "gpus": {"model": "NVIDIA-H100-80GB-HBM3", "count": 4, "simulated": True},
}
SHA256 = "5" * 64


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Tools that are built already, in a home of the test's own; the list has what was asked of them."""
    asked: list[str] = []

    def ensure(report: object, **_: object) -> tuple[str, Path]:
        asked.append("ensure")
        return artifacts.digest(), tmp_path

    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(artifacts, "ensure_artifacts", ensure)
    monkeypatch.setattr(artifacts, "kueue_manifest", lambda of: (tmp_path / "kueue.yaml", SHA256))
    return asked


def objects(program: Program, name: str) -> dict[str, dict[str, Any]]:
    """The objects of a bundle by kind and name."""
    found = program.resources[name].inputs["objects"]
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in found}


def changed(before: Program, after: Program, name: str) -> list[str]:
    """What of a bundle is new or other than before, by kind and name."""
    old, new = objects(before, name), objects(after, name)
    return [key for key in new if new[key] != old.get(key)]


def nominal(queue: dict[str, Any]) -> dict[str, str]:
    (group,) = queue["spec"]["resourceGroups"]
    (flavor,) = group["flavors"]
    return {resource["name"]: resource["nominalQuota"] for resource in flavor["resources"]}


def own(tenant: dict[str, Any]) -> dict[str, str]:
    (quota,) = (one for one in tenant["spec"]["quotas"] if not one.get("remote"))
    return {name: amount["nominal"] for name, amount in quota["resources"].items()}


def test_the_embedded_site_is_a_network_machines_one_run_and_a_bundle_a_partner() -> None:
    program = declare(read(site_file("embedded")), "embedded")
    by_type: dict[str, list[str]] = {}
    for resource in program.resources.values():
        by_type.setdefault(resource.type, []).append(resource.name)
    assert by_type["antenna:index:Network"] == ["network"]
    assert sorted(by_type["antenna:index:Machine"]) == ["gpu-1", "gpu-2", "head", "jupiter", "lumi"]
    assert sorted(by_type["antenna:index:Playbook"]) == ["nodes", "people", "remote-access", "sites"]
    assert sorted(by_type["antenna:index:Link"]) == ["link-jupiter", "link-lumi"]
    bundles = by_type["antenna:index:Objects"]
    assert {"kueue", "queues", "monitoring", "tenant-imec", "tenant-ku-leuven"} < set(bundles)
    assert len(bundles) == 7 + 15
    assert set(program.components) == {
        "network",
        "links",
        "remote",
        "machines",
        "cluster",
        "queueing",
        "operator",
        "monitoring",
        "people",
        "isolation",
        *(name for name in bundles if name.startswith("tenant-")),
    }


def test_each_step_waits_for_the_one_it_stands_on() -> None:
    resources = declare(EMBEDDED).resources
    assert resources["network"].dependencies == frozenset()
    assert resources["gpu-1"].dependencies == {"network"}
    assert resources["nodes"].dependencies == {"head", "gpu-1", "gpu-2"}
    assert "nodes" in resources["kueue"].dependencies
    assert {"kueue", "crds"} <= resources["queues"].dependencies
    assert "queues" in resources["operator"].dependencies
    for tenant in ("tenant-imec", "tenant-ulb"):
        assert "operator" in resources[tenant].dependencies
        assert not {"tenant-imec", "tenant-ulb"} & resources[tenant].dependencies


def test_every_resource_belongs_to_its_component() -> None:
    program = declare(EMBEDDED)
    parents = {name: resource.parent for name, resource in program.resources.items()}
    assert parents == {
        "network": "network",
        "head": "machines",
        "gpu-1": "machines",
        "gpu-2": "machines",
        "nodes": "cluster",
        "kueue": "queueing",
        "crds": "queueing",
        "queues": "queueing",
        "operator": "operator",
        "remote-sites": "remote",
        "tenant-imec": "tenant-imec",
        "tenant-ulb": "tenant-ulb",
        "monitoring": "monitoring",
        "isolation": "isolation",
    }


def test_the_network_leads_to_every_nodes_pods() -> None:
    assert declare(EMBEDDED).resources["network"].inputs == {
        "stack": "x",
        "bridge": "br-x",
        "cidr": "10.77.0.0/24",
        "gateway": "10.77.0.1",
        "routes": [
            {"to": "10.78.0.0/24", "via": "10.77.0.10"},
            {"to": "10.78.11.0/24", "via": "10.77.0.11"},
            {"to": "10.78.12.0/24", "via": "10.77.0.12"},
        ],
    }


def test_no_interface_name_is_longer_than_linux_allows() -> None:
    assert len(declare(EMBEDDED, "a-dozen-long").resources["network"].inputs["bridge"]) == 15


def test_a_machine_made_here_is_told_its_cable_its_base_and_its_tools() -> None:
    inputs = dict(declare(EMBEDDED).resources["gpu-1"].inputs)
    assert inputs.pop("artifacts") == artifacts.digest()
    assert inputs.pop("base")
    assert inputs == {
        "stack": "x",
        "name": "gpu-1",
        "driver": "nspawn",
        "address": "10.77.0.11",
        "user": "root",
        "port": 22,
        "prefix_length": 24,
        "gateway": "10.77.0.1",
        "bridge": "br-x",
    }


def test_a_machine_that_exists_is_reached_by_the_key_that_the_site_states() -> None:
    program = declare(edited(EXISTING, ("identity_file", "~/.ssh/id_ed25519"), ("machines[1].port", 2222)))
    assert "network" not in program.resources
    assert program.resources["gpu-1"].inputs == {
        "stack": "x",
        "name": "gpu-1",
        "driver": "ssh",
        "address": "10.77.0.11",
        "user": "antenna",
        "port": 2222,
        "host_key": HOST_KEY,
        "identity_file": str(Path.home() / ".ssh/id_ed25519"),
    }


def test_the_run_knows_every_host_by_group_address_key_and_gpus() -> None:
    hosts = declare(EMBEDDED).resources["nodes"].inputs["hosts"]
    assert hosts["head"] == {
        "address": "10.77.0.10",
        "user": "root",
        "port": 22,
        "groups": ["head"],
        "vars": {"antenna_pod_cidr": "10.78.0.0/24"},
        "host_key": "key of head",
    }
    assert hosts["gpu-1"]["groups"] == ["workers", "gpu"]
    assert hosts["gpu-1"]["vars"] == {
        "antenna_pod_cidr": "10.78.11.0/24",
        "antenna_gpus": {"model": "NVIDIA-H100-80GB-HBM3", "count": 4, "simulated": True},
    }


def test_the_run_is_given_what_the_roles_require() -> None:
    given = declare(EMBEDDED).resources["nodes"].inputs
    assert given["playbook"] == "site.yml"
    assert given["remove"] == "remove_node.yml"
    assert "reset" not in given
    assert len(given["digest"]) == 64
    assert given["vars"] == {
        "antenna_stack": "x",
        "antenna_nested": True,
        "antenna_artifacts": "/opt/antenna/artifacts",
        "antenna_network_cidr": "10.77.0.0/24",
        "antenna_trusted_cidrs": [],
        "antenna_pod_cidr_all": "10.78.0.0/16",
        "antenna_service_cidr": "10.79.0.0/16",
        "antenna_dns_address": "10.79.0.10",
        "antenna_resolvers": ["10.77.0.1"],
        "antenna_time_servers": [],
        "antenna_kubernetes_version": "v1.37.2",
        "antenna_pause_image": "registry.k8s.io/pause:3.10.2",
        "antenna_image_repository": "registry.k8s.io",
        "antenna_registry_mirrors": {},
        "antenna_kubeconfig": str(paths.kubeconfig("x")),
        "antenna_operator_state": "/var/lib/antenna/operator",
        "antenna_monitoring_state": "/var/lib/antenna/monitoring",
        "antenna_alerts_state": "/var/lib/antenna/alerts",
        "antenna_authentication": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [],
        },
    }


def test_a_partner_more_is_news_to_the_provider_of_people_and_not_to_the_nodes() -> None:
    stated = ("authentication", {"built_in": {"people": 2}})
    issuer.ensure(parse_site(edited(EMBEDDED, stated), "Pulumi.x.yaml"))  # these programs are previews
    one, both = (declare(edited(EMBEDDED, stated, *less)).resources for less in ([("tenants[1]", DROP)], []))
    assert one["nodes"].inputs == both["nodes"].inputs
    told, before = both["people"].inputs["vars"], one["people"].inputs["vars"]
    assert told.keys() == {"antenna_issuer_folder", "antenna_issuer_digest"}
    assert {key for key in told if told[key] != before[key]} == {"antenna_issuer_digest"}
    assert (both["people"].deleted_with, both["people"].dependencies) == ("head", {"nodes", "head"})


def test_machines_that_exist_are_given_the_tools_and_are_reset_at_the_end() -> None:
    given = declare(EXISTING).resources["nodes"].inputs
    assert given["reset"] == "reset.yml"
    assert given["vars"]["antenna_nested"] is False
    assert given["vars"]["antenna_resolvers"] == []
    assert given["vars"]["antenna_artifacts_source"] == str(
        artifacts.location(artifacts.digest(made_here=False))
    )


def test_every_variable_is_one_that_a_role_or_play_speaks_of() -> None:
    texts = "\n".join(p.read_text() for p in (paths.REPOSITORY / "playbooks").rglob("*.yml"))
    texts += "\n".join(p.read_text() for p in (paths.REPOSITORY / "playbooks").rglob("*.j2"))
    for site in (EMBEDDED, EXISTING):
        given = declare(site).resources["nodes"].inputs
        unknown = [name for name in given["vars"] if name not in texts]
        assert not unknown


def test_what_lives_in_machines_made_here_goes_with_the_head() -> None:
    resources = declare(EMBEDDED).resources
    with_head = {name for name, resource in resources.items() if resource.deleted_with == "head"}
    bundles = {"kueue", "crds", "queues", "operator", "remote-sites", "monitoring", "isolation"}
    assert with_head == {"nodes", *bundles, "tenant-imec", "tenant-ulb"}


def test_on_machines_that_stay_everything_is_deleted_by_itself() -> None:
    assert not any(resource.deleted_with for resource in declare(EXISTING).resources.values())


def test_a_partners_bundle_is_its_tenant() -> None:
    program = declare(EMBEDDED)
    (tenant,) = objects(program, "tenant-ulb").values()
    assert tenant["kind"] == "Tenant"
    assert tenant["spec"]["ecosystem"] == "brussels-capital"
    assert tenant["spec"]["cohort"] == "antenna"
    # A quarter of a core and half a GiB with each of three GPUs.
    assert own(tenant) == {"nvidia.com/gpu": "3", "cpu": "750m", "memory": "1536Mi"}
    assert program.resources["tenant-ulb"].inputs["wait"] is True


def deployment(program: Program) -> dict[str, Any]:
    return objects(program, "operator")["Deployment/antenna-operator"]["spec"]["template"]["spec"]


def test_the_operator_runs_the_image_that_is_made_here_unless_the_site_names_another() -> None:
    (container,) = deployment(declare(EMBEDDED))["containers"]
    assert container["image"] == operator_image.reference()
    elsewhere = edited(EXISTING, ("operator", {"image": "registry.example/operator:0.1.0"}))
    (container,) = deployment(declare(elsewhere))["containers"]
    assert container["image"] == "registry.example/operator:0.1.0"


def test_another_image_of_the_operator_is_another_deployment_and_another_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = declare(EMBEDDED)
    monkeypatch.setattr(operator_image, "digest", lambda: "0" * 16)
    changes = difference(before, declare(EMBEDDED))
    assert changes.pop("operator") == "update"
    # The nodes are shown the tree that holds the image.
    assert set(changes) == {"head", "gpu-1", "gpu-2", "nodes"}


def test_the_operators_state_is_on_the_head_or_in_a_class_that_the_site_names() -> None:
    here = objects(declare(EMBEDDED), "operator")
    assert here["PersistentVolume/antenna-operator-state"]["spec"]["local"]["path"]
    elsewhere = objects(declare(edited(EXISTING, ("operator", {"storage_class": "ceph"}))), "operator")
    assert "PersistentVolume/antenna-operator-state" not in elsewhere
    claim = elsewhere["PersistentVolumeClaim/antenna-operator-state"]
    assert claim["spec"]["storageClassName"] == "ceph"


def test_the_cohort_holds_what_is_shared_and_never_more_than_there_is() -> None:
    program = declare(EMBEDDED)
    shared = objects(program, "queues")
    local = {"ResourceFlavor/h100", "Cohort/antenna"}
    remote = {"ResourceFlavor/lumi-standard-g", "AdmissionCheck/budget", "AdmissionCheck/site-health"}
    assert set(shared) == local | remote
    assert nominal(shared["Cohort/antenna"]) == {"nvidia.com/gpu": "1", "cpu": "1250m", "memory": "4608Mi"}
    partners = [objects(program, f"tenant-{name}")[f"Tenant/{name}"] for name in ("imec", "ulb")]
    everything = [nominal(shared["Cohort/antenna"]), *map(own, partners)]
    assert sum(int(amounts["nvidia.com/gpu"]) for amounts in everything) == 8


def test_flavors_find_their_nodes_once_there_are_two() -> None:
    a100 = {"name": "a100", "gpu_model": "NVIDIA-A100", "cpus_per_gpu": 1, "memory_gib_per_gpu": 1}
    site = edited(
        EMBEDDED,
        ("cohort.flavors[1]", a100),
        ("machines[2].gpus.model", "NVIDIA-A100"),
        ("tenants[0].quota", {"a100": 4}),
    )
    flavor = objects(declare(site), "queues")["ResourceFlavor/a100"]
    assert flavor["spec"]["nodeLabels"] == {"nvidia.com/gpu.product": "NVIDIA-A100"}


def test_two_partners_never_share_an_object() -> None:
    program = declare(read(site_file("embedded")), "embedded")
    owners: dict[tuple[str, str, str], str] = {}
    for name in program.resources:
        for o in program.resources[name].inputs.get("objects", []):
            key = (o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"])
            assert owners.setdefault(key, name) == name


# What an edit changes


def test_the_same_site_changes_nothing() -> None:
    assert difference(declare(EMBEDDED), declare(EMBEDDED)) == {}


def test_a_new_gpu_node_is_a_machine_a_route_and_a_run() -> None:
    before, after = declare(EMBEDDED), declare(edited(EMBEDDED, ("machines[3]", GPU_3)))
    assert difference(before, after) == {"gpu-3": "create", "network": "update", "nodes": "update"}
    hosts = after.resources["nodes"].inputs["hosts"]
    assert hosts.pop("gpu-3")["vars"]["antenna_pod_cidr"] == "10.78.13.0/24"
    assert hosts == before.resources["nodes"].inputs["hosts"]
    assert "gpu-3" in after.resources["nodes"].dependencies


def test_a_node_that_leaves_is_left_out_of_the_run_before_its_machine_goes() -> None:
    """Engines delete after everything else: the run, which drains the node, still finds its machine."""
    before, after = declare(edited(EMBEDDED, ("machines[3]", GPU_3))), declare(EMBEDDED)
    assert difference(before, after) == {"gpu-3": "delete", "network": "update", "nodes": "update"}
    assert "gpu-3" in before.resources["nodes"].dependencies
    assert after.resources["nodes"].inputs["remove"] == "remove_node.yml"


def test_one_partners_quota_is_one_change() -> None:
    before, after = declare(EMBEDDED), declare(edited(EMBEDDED, ("tenants[1].quota.h100", 2)))
    assert difference(before, after) == {"tenant-ulb": "update"}
    assert changed(before, after, "tenant-ulb") == ["Tenant/ulb"]


def test_a_partner_that_leaves_takes_exactly_what_was_its_own() -> None:
    before, after = declare(EMBEDDED), declare(edited(EMBEDDED, ("tenants[1]", DROP)))
    assert difference(before, after) == {"operator": "update", "tenant-ulb": "delete"}
    assert changed(before, after, "operator") == [DECLARED]
    assert before.components.keys() - after.components.keys() == {"tenant-ulb"}


def test_a_new_partner_is_one_bundle_and_a_name_in_what_the_operator_may_not_write() -> None:
    row = {**EMBEDDED["tenants"][1], "name": "walloon-1", "groups": ["walloon-1"], "quota": {}}
    before, after = declare(EMBEDDED), declare(edited(EMBEDDED, ("tenants[2]", row)))
    assert difference(before, after) == {"operator": "update", "tenant-walloon-1": "create"}
    assert changed(before, after, "operator") == [DECLARED]
    assert "'walloon-1'" in objects(after, "operator")[DECLARED]["spec"]["validations"][0]["expression"]


def test_what_is_shared_is_the_cohorts_alone() -> None:
    after = declare(edited(EMBEDDED, ("cohort.flavors[0].shared.gpus", 0)))
    assert difference(declare(EMBEDDED), after) == {"queues": "update"}


def test_a_remote_site_changes_nothing_on_the_machines() -> None:
    after = declare(edited(EMBEDDED, ("sites[0].title", "LUMI (CSC)")))
    assert difference(declare(EMBEDDED), after) == {"remote-sites": "update"}


def test_a_site_without_remote_sites_has_nothing_of_them() -> None:
    alone = edited(EMBEDDED, ("sites", DROP), ("tenants[0].allocations", DROP))
    program = declare(alone)
    assert "remote-sites" not in program.resources
    assert set(objects(program, "queues")) == {"ResourceFlavor/h100", "Cohort/antenna"}
    (tenant,) = objects(program, "tenant-imec").values()
    assert "allocations" not in tenant["spec"]
    assert [quota.keys() for quota in tenant["spec"]["quotas"]] == [{"flavor", "resources"}]


def test_a_partner_is_given_the_partitions_that_its_allocations_pay_for() -> None:
    program = declare(EMBEDDED)
    quotas = {
        name: {q["flavor"]: q for q in objects(program, f"tenant-{name}")[f"Tenant/{name}"]["spec"]["quotas"]}
        for name in ("imec", "ulb")
    }
    assert set(quotas["ulb"]) == {"h100"}
    assert set(quotas["imec"]) == {"h100", "lumi-standard-g"}
    granted = quotas["imec"]["lumi-standard-g"]
    assert granted["remote"] is True
    assert granted["resources"] == {"antenna.be/remote-gpu": {"nominal": str(1024 * 8)}}


def test_the_order_of_machines_and_partners_means_nothing() -> None:
    turned = edited(
        EMBEDDED, ("machines", EMBEDDED["machines"][::-1]), ("tenants", EMBEDDED["tenants"][::-1])
    )
    assert difference(declare(EMBEDDED), declare(turned)) == {}


def test_two_stacks_share_no_name_on_the_host() -> None:
    one, other = declare(EMBEDDED, "one").resources, declare(EMBEDDED, "other").resources
    assert one["network"].inputs["bridge"] != other["network"].inputs["bridge"]
    for name in one:
        assert one[name].inputs["stack"] == "one"
        for key in ("kubeconfig", "identity_file", "known_hosts"):
            if key in one[name].inputs:
                assert one[name].inputs[key] != other[name].inputs[key]


# Tools, outputs, refusals


def test_a_preview_builds_nothing_and_says_what_it_cannot_know(
    monkeypatch: pytest.MonkeyPatch, tools: list[str]
) -> None:
    def not_built(of: str) -> tuple[Path, str]:
        raise FileNotFoundError(of)

    monkeypatch.setattr(artifacts, "kueue_manifest", not_built)
    program = declare(EMBEDDED, preview=True)
    assert tools == []
    assert program.resources["kueue"].inputs["manifest"]["sha256"] == UNKNOWN
    assert "queues" in program.resources


def test_an_update_builds_the_tools_first(tools: list[str]) -> None:
    program = declare(EMBEDDED, preview=False)
    assert tools == ["ensure"]
    assert program.resources["kueue"].inputs["manifest"]["sha256"] == SHA256


def test_other_tools_are_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = declare(EMBEDDED)
    monkeypatch.setattr(artifacts, "digest", lambda **_: "0" * 16)
    assert difference(before, declare(EMBEDDED)) == {
        "head": "update",
        "gpu-1": "update",
        "gpu-2": "update",
        "nodes": "update",
    }


def test_tools_that_cannot_be_built_end_the_program_before_anything_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(report: object, **_: object) -> tuple[str, Path]:
        raise ToolError("etcd: go build failed; see /log")

    monkeypatch.setattr(artifacts, "ensure_artifacts", fail)
    with pytest.raises(pulumi.RunError, match="etcd: go build failed; see /log"):
        declare(EMBEDDED, preview=False)


def test_the_stack_tells_how_the_site_is_reached() -> None:
    outputs = declare(EMBEDDED).outputs
    assert outputs["platform"] == "embedded"
    assert outputs["tenants"] == ["imec", "ulb"]
    assert outputs["kubeconfig"] == str(paths.kubeconfig("x"))
    assert outputs["known_hosts"] == str(paths.known_hosts("x"))
    assert outputs["identity_file"] == str(paths.ssh_key("x"))
    assert outputs["machines"]["gpu-1"] == {
        "address": "10.77.0.11",
        "user": "root",
        "port": 22,
        "role": "gpu",
    }


def test_no_secret_is_among_inputs_and_outputs() -> None:
    for site in (EMBEDDED, EXISTING):
        program = declare(site)
        everything = yaml.safe_dump([*(dict(r.inputs) for r in program.resources.values()), program.outputs])
        assert "PRIVATE KEY" not in everything


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (("machnes", []), "Pulumi.x.yaml: site:machnes: there is no such key; did you mean machines?"),
        (("unknown", "text"), "Pulumi.x.yaml: site:unknown: there is no such key;"),
        (("machines", "3"), "Pulumi.x.yaml: site:machines: must be a list, not the text '3'"),
        (("tenants[0].quota.h100", -1), "Pulumi.x.yaml: site:tenants[0].quota.h100: -1 is too small"),
    ],
)
def test_a_wrong_site_ends_the_program_with_its_line_and_nothing_declared(
    edit: tuple[str, Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: list[object] = []
    monkeypatch.setattr("infra.__main__.declare", declared.append)
    with pytest.raises(pulumi.RunError) as refused:
        declare(edited(EMBEDDED, edit), preview=False)
    assert str(refused.value).startswith(line)
    assert declared == []


def test_a_machine_at_the_end_of_a_link_is_no_node() -> None:
    program = declare(REMOTE)
    lumi, head = program.resources["lumi"], program.resources["head"]
    assert lumi.inputs["base"].startswith(f"{head.inputs['base']}.")
    assert lumi.inputs["artifacts"] == ""
    vias = [route["via"] for route in program.resources["network"].inputs["routes"]]
    assert "10.77.0.20" not in vias
    nodes = program.resources["nodes"].inputs["hosts"]
    assert set(nodes) == {"head", "gpu-1", "gpu-2"}
    assert nodes["head"]["groups"] == ["head", "gateway"]
    assert "lumi" not in program.resources["nodes"].dependencies


def test_a_link_is_for_its_sites_port_and_from_the_head_alone() -> None:
    program = declare(edited(REMOTE, ("sites[0].access.port", 2222), ("links[0].mtu", 1400)))
    link = program.resources["link-lumi"]
    assert link.inputs["gateway"]["address"] == "10.77.0.10"
    assert link.inputs["endpoint"]["address"] == "10.77.0.20"
    assert (link.inputs["gateway_address"], link.inputs["endpoint_address"]) == ("10.76.0.1", "10.76.0.2")
    assert link.inputs["ports"] == [2222]
    assert link.inputs["mtu"] == 1400
    assert link.inputs["sources"] == ["10.78.0.0/24"]
    assert {"nodes", "sites"} <= link.dependencies
    assert link.deleted_with == "head"


def test_a_stand_in_is_told_the_sites_own_entry_and_each_tenants_project() -> None:
    host = declare(REMOTE).resources["sites"].inputs["hosts"]["lumi"]
    told = host["vars"]
    assert host["groups"] == ["site"]
    assert told["antenna_site"]["partitions"][0]["billing"]["per_node_hour"] == 4
    grant = {"amount": 20000, "unit": "gpu-hours", "start": "2026-01-01", "end": "2026-12-31"}
    assert told["antenna_site_accounts"] == [
        {"project": "project_465000001", "user": "imec", "keys": [], "grants": [grant]}
    ]
    assert told["antenna_site_tunnels"] == ["wg-lumi-a", "wg-lumi-b"]
    assert told["antenna_site_udp_ports"] == [51820, 51821]
    assert told["antenna_site_management"] == ["10.77.0.1"]


def test_the_antenna_has_a_login_a_partner_at_a_site_that_is_played_here_and_one_that_reads() -> None:
    other = {**REMOTE["tenants"][0]["allocations"][0], "project": "project_465000002"}
    both = edited(
        *(REMOTE, ("tenants[1].allocations", [other]), ("tenants[1].logins", {"lumi": "antenna-ulb"})),
    )
    (told,) = declare(both).resources["sites"].inputs["hosts"]["head"]["vars"]["antenna_remote_access"]
    assert (told["name"], told["user"], told["key_type"]) == ("lumi", "antenna", "ed25519")
    assert told["logins"] == [
        {"tenant": "imec", "user": "imec"},
        {"tenant": "ulb", "user": "antenna-ulb"},
    ]
    played = declare(both).resources["sites"].inputs["hosts"]["lumi"]["vars"]["antenna_site_accounts"]
    assert [(row["project"], row["user"]) for row in played] == [
        ("project_465000001", "imec"),
        ("project_465000002", "antenna-ulb"),
    ]


def test_on_machines_that_exist_nothing_plays_a_site() -> None:
    existing = edited(
        EXISTING,
        ("machines[3]", {"name": "end", "role": "site", "address": "203.0.113.9", "host_key": HOST_KEY}),
        (
            "links",
            [
                {
                    "name": "lumi",
                    "site": "lumi",
                    "endpoint": "end",
                    "cidr": "10.76.0.0/30",
                    "reaches": ["198.51.100.0/24"],
                }
            ],
        ),
    )
    program = declare(existing)
    sites = program.resources["sites"].inputs
    assert sites["hosts"]["end"]["vars"] == {}
    assert sites["reset"] == "reset_sites.yml"
    assert program.resources["link-lumi"].inputs["reaches"] == ["198.51.100.0/24"]
    assert program.resources["link-lumi"].deleted_with == ""


def test_a_link_more_changes_nothing_of_the_nodes_but_the_gateways_part() -> None:
    plain = edited(REMOTE, ("links", DROP), ("machines", EMBEDDED["machines"]))
    assert difference(declare(plain), declare(REMOTE)) == {
        "lumi": "create",
        "sites": "create",
        "link-lumi": "create",
        "remote-access": "create",
        "nodes": "update",
    }
