"""The operator in its cluster: it runs, answers who may ask, follows its code, and keeps what it knew."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from operators.manifests import CA_CONFIG_MAP, NAME, NAMESPACE
from tests.live.scraping import scrape, token
from tests.live.site_under_test import SiteUnderTest, eventually

NEVER = (
    ("get", "", "secrets"),
    ("create", "", "pods"),
    ("delete", "", "nodes"),
    ("create", "batch", "jobs"),
    ("escalate", "rbac.authorization.k8s.io", "roles"),
    ("patch", "rbac.authorization.k8s.io", "clusterroles"),
)


def may(site: SiteUnderTest, verb: str, group: str, resource: str) -> bool:
    """Whether the operator's account may do so in every namespace, says the API server."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{NAME}",
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource},
        },
    }
    said = site.kubectl("create", "-f", "-", "-o", "json", given=json.dumps(review))
    return bool(json.loads(said)["status"]["allowed"])


def pods(site: SiteUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={NAME}")[
        "items"
    ]
    return found


def test_it_runs_under_the_restricted_profile_with_a_root_that_it_cannot_write(site: SiteUnderTest) -> None:
    deployment = site.get("deployment", "-n", NAMESPACE, NAME)
    assert deployment["status"]["readyReplicas"] == 1
    assert (
        site.get("namespace", NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_who_may_scrape_is_answered_and_nobody_else(site: SiteUnderTest, reader: str) -> None:
    status, body = scrape(site, token(site, reader))
    assert status == 200
    for partner in site.config["config"]["site:tenants"]:
        assert f'tenant="{partner["name"]}"' in body
    assert scrape(site, token(site, "default"))[0] == 403
    assert scrape(site, token(site, reader, audience="somebody-else"))[0] == 401
    assert scrape(site, "nonsense")[0] == 401


def test_every_change_of_the_demos_work_is_counted(site: SiteUnderTest, reader: str) -> None:
    site.antenna("demo", "--json", "--jobs", "6")
    status, body = scrape(site, token(site, reader))
    assert status == 200
    families = {family.name: family.samples for family in text_string_to_metric_families(body)}
    errors = {s.labels["resource"]: s.value for s in families["antenna_operator_event_errors"]}
    assert errors["workloads"] == errors["jobs"] == 0, errors
    waits = [s.value for s in families["antenna_job_wait_seconds"] if s.name.endswith("_count")]
    assert sum(waits) >= 6
    assert sum(s.value for s in families["antenna_gpu_seconds"]) > 0


def test_it_may_not_read_secrets_or_make_pods(site: SiteUnderTest) -> None:
    allowed = {what: may(site, *what) for what in (*NEVER, ("list", "", "pods"), ("patch", "", "namespaces"))}
    assert {what for what, yes in allowed.items() if yes} == {
        ("list", "", "pods"),
        ("patch", "", "namespaces"),
    }


def test_tenants_are_listed_with_what_they_have_and_hold(site: SiteUnderTest) -> None:
    header, *rows = site.kubectl("get", "tenants").splitlines()
    assert header.split()[:5] == ["NAME", "ECOSYSTEM", "QUOTA", "IN", "USE"]
    assert len(rows) == len(site.config["config"]["site:tenants"])


def test_a_pod_in_its_place_has_the_same_certificate(site: SiteUnderTest, reader: str) -> None:
    before = site.get("configmap", "-n", NAMESPACE, CA_CONFIG_MAP)["data"]
    (old,) = pods(site)
    site.kubectl("delete", "pod", "-n", NAMESPACE, old["metadata"]["name"])
    eventually(
        "another pod answers",
        lambda: [
            pod
            for pod in pods(site)
            if pod["metadata"]["uid"] != old["metadata"]["uid"]
            and any(
                c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
            )
        ],
    )
    assert site.get("configmap", "-n", NAMESPACE, CA_CONFIG_MAP)["data"] == before
    assert scrape(site, token(site, reader))[0] == 200


def test_the_key_is_readable_by_the_operator_alone(site: SiteUnderTest) -> None:
    listed = site.on(
        "head", "find /var/lib/antenna/operator -name '*.key' -printf '%U:%G %m\\n'"
    ).splitlines()
    assert listed == ["65532:65532 600"]


def test_the_nodes_hold_the_image_that_the_deployment_names(site: SiteUnderTest) -> None:
    (container,) = site.get("deployment", "-n", NAMESPACE, NAME)["spec"]["template"]["spec"]["containers"]
    held = {
        node["metadata"]["name"]: [
            name for image in node["status"]["images"] for name in image.get("names", [])
        ]
        for node in site.get("nodes")["items"]
    }
    assert container["image"] in held["head"], json.dumps(held["head"])
    assert not any(name.startswith("antenna.be/operator:") for name in held["gpu-1"])
