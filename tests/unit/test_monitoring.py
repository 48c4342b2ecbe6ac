"""What monitoring consists of in the cluster."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.oncall import oncall_of
from infra.site import parse_site
from infra.tools.build import binary, build
from infra.tools.pins import tool
from monitoring import scrape
from monitoring.alertmanager import address
from monitoring.dashboards import vmui
from monitoring.dashboards.catalog import DASHBOARDS
from monitoring.manifests import RIGHTS, TOKEN_AUDIENCE, config_maps, monitoring_objects
from monitoring.oncall import Oncall
from monitoring.parts import NAMESPACE
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.alerts import QUEUED
from monitoring.scrape import scrape_config
from operators.reasons import PENDING_REASONS
from operators.tenancy import OBJECT_COUNTS
from tests.unit.rig import Rig, ended, partner, workload
from tests.unit.site_examples import ONCALL


@pytest.fixture
def objects() -> dict[str, dict[str, Any]]:
    made = declared(oncall_of(parse_site(ONCALL, source="Pulumi.x.yaml")))
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in made}


def declared(oncall: Oncall | None) -> list[dict[str, Any]]:
    return monitoring_objects(
        store_image="store:1",
        alerter_image="alerter:1",
        alertmanager_image="alertmanager:1",
        nodes=["head", "gpu-1"],
        retention_days=30,
        oncall=oncall,
    )


@pytest.fixture
def pod(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Deployment/victoria-metrics"]["spec"]["template"]["spec"]
    return spec


def test_the_namespace_enforces_restricted_pods_and_holds_everything(
    objects: dict[str, dict[str, Any]],
) -> None:
    labels = objects[f"Namespace/{NAMESPACE}"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, found in objects.items():
        if not name.startswith(("Namespace/", "ClusterRole", "PersistentVolume/")):
            assert found["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("name", ["victoria-metrics", "alertmanager-0"])
def test_its_containers_can_write_to_their_storage_alone(
    objects: dict[str, dict[str, Any]], name: str
) -> None:
    pod = objects[f"Deployment/{name}"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        writable = [m["name"] for m in container["volumeMounts"] if not m["readOnly"]]
        assert writable in ([], ["storage"])


def test_nobody_in_the_cluster_can_reach_the_store_without_the_right_to_forward(
    objects: dict[str, dict[str, Any]], pod: dict[str, Any]
) -> None:
    assert [name for name in objects if name.startswith("Service/")] == ["Service/alertmanager-0"]
    for container in pod["containers"]:
        (listening,) = [a for a in container["args"] if a.startswith("-httpListenAddr=")]
        assert listening.startswith("-httpListenAddr=127.0.0.1:")


def test_its_rights_are_to_find_nodes_and_to_read_metrics() -> None:
    verbs = {verb for rule in RIGHTS for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    what = {
        name for rule in RIGHTS for name in (*rule.get("resources", ()), *rule.get("nonResourceURLs", ()))
    }
    assert what == {"nodes", "nodes/metrics", "/metrics"}


def test_the_operator_is_scraped_over_tls_with_a_token_of_its_own_audience(pod: dict[str, Any]) -> None:
    (job,) = [c for c in scrape_config()["scrape_configs"] if c["job_name"] == "antenna-operator"]
    assert job["scheme"] == "https"
    assert job["max_scrape_size"] == f"{scrape.OPERATOR_PAGE_MIB}MiB"
    assert "insecure_skip_verify" not in job["tls_config"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "operator"]
    token, ca = volume["projected"]["sources"]
    assert token["serviceAccountToken"]["audience"] == TOKEN_AUDIENCE
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "operator"]
    assert (
        job["authorization"]["credentials_file"]
        == f"{mount['mountPath']}/{token['serviceAccountToken']['path']}"
    )
    assert job["tls_config"]["ca_file"] == f"{mount['mountPath']}/{ca['configMap']['items'][0]['path']}"


def test_another_configuration_is_another_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> str:
        annotations: dict[str, str] = declared(None)[-1]["spec"]["template"]["metadata"]["annotations"]
        return annotations["antenna.be/config"]

    before = digest()
    assert digest() == before
    monkeypatch.setattr("monitoring.scrape.INTERVAL_SECONDS", 30)
    assert digest() != before


def test_the_scrape_configuration_is_in_its_config_map(objects: dict[str, dict[str, Any]]) -> None:
    data = objects["ConfigMap/victoria-metrics-scrape"]["data"]
    assert yaml.safe_load(data["scrape.yaml"]) == scrape_config([address("alertmanager-0")])


def test_the_programs_that_read_them_take_the_configuration_and_the_rules(
    objects: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    pinned = tool("victoriametrics")
    build([pinned], lambda _: None)
    for name in ("scrape", "rules"):
        for file, text in objects[f"ConfigMap/victoria-metrics-{name}"]["data"].items():
            (tmp_path / file).write_text(text)
    for argv in (
        ["victoria-metrics", f"-promscrape.config={tmp_path}/scrape.yaml", "-promscrape.config.strictParse"],
        ["vmalert", f"-rule={tmp_path}/antenna-*.yaml", "-rule.validateExpressions"],
    ):
        done = subprocess.run(
            [binary(pinned, argv[0]), *argv[1:], "-dryRun"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("runbooks", ["", "https://pages.example.org"])
def test_vmui_is_given_all_dashboards_with_runbooks_where_they_are_served(runbooks: str) -> None:
    oncall = oncall_of(parse_site(ONCALL, source="Pulumi.x.yaml"))
    assert oncall
    made = config_maps(replace(oncall, runbooks=runbooks))
    (given,) = [one["data"] for one in made if one["metadata"]["name"] == "victoria-metrics-dashboards"]
    assert given == vmui.files(DASHBOARDS, runbooks or RUNBOOKS)


def test_the_operators_page_fits_at_what_partners_may_hold(tmp_path: Path) -> None:
    """Of Jobs with names as long as names may be, with all that is told of them."""
    name, space = "j" * 60, "tenant-" + "t" * 50
    given = partner("t" * 50)
    rig = Rig(tmp_path / "ledger.sqlite").lists(**given)

    def page(jobs: int) -> int:
        for n in range(jobs):
            made = ended(f"{name}{n:03}", at=50, tenant=space.removeprefix("tenant-"))
            rig.apply("jobs", made)
            rig.apply("workloads", workload(f"{name}{n:03}", admitted=5, tenant="t" * 50))
        return len(b"".join(rig.store.render(False)))

    bare = page(0)
    assert (page(20) - bare) / 20 < scrape.BYTES_A_JOB
    kinds = ("count/jobs.batch", "count/remotejobs.antenna.be")
    assert sum(int(OBJECT_COUNTS[kind]) for kind in kinds) <= scrape.MOST_JOBS


def test_the_alert_of_a_stuck_queue_is_about_reasons_that_there_are() -> None:
    assert set(QUEUED) <= set(PENDING_REASONS)
