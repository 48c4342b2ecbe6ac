"""The control plane of a live site: its flags, its secrets at rest, its audit log, its keys' rotation."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import paths
from tests.live.site_under_test import KUBECTL, SiteUnderTest

CANARIES = 30
NAMESPACE = "tenant-imec"
LABEL = "test=canary"


def drift(site: SiteUnderTest) -> list[str]:
    steps = json.loads(site.antenna("refresh", "--yes", "--json").stdout)["steps"]
    return [line for step in steps for line in step.get("drift") or []]


def doctor(site: SiteUnderTest, check: str) -> dict[str, str]:
    rows = json.loads(site.antenna("doctor", "--json", check=False).stdout)["checks"]
    found: dict[str, str] = next(row for row in rows if row["check"] == check)
    return found


def refused(site: SiteUnderTest, *arguments: str, given: str) -> str:
    """What the API server says against it."""
    command = [str(KUBECTL), "--kubeconfig", str(paths.kubeconfig(site.stack)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=given)
    assert done.returncode != 0, done.stdout
    return done.stderr


def found_on(site: SiteUnderTest, machine: str, words: list[str], *folders: str) -> str:
    """The files of a machine in which any of the words stands, one a line."""
    patterns = "\n".join(words)
    command = f"grep -rlaF -f - {' '.join(folders)} 2>/dev/null <<'END' || true\n{patterns}\nEND"
    return site.on(machine, command).strip()


@pytest.fixture
def canaries(site: SiteUnderTest) -> Iterator[list[str]]:
    """Secrets with a value each that stands nowhere else; gone after the test."""
    words = [f"canary-{secrets.token_hex(16)}" for _ in range(CANARIES)]
    rows = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"canary-{n}", "namespace": NAMESPACE, "labels": {"test": "canary"}},
            "stringData": {"value": word},
        }
        for n, word in enumerate(words)
    ]
    site.kubectl("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": rows}))
    yield words
    site.kubectl("delete", "secrets", "-n", NAMESPACE, "-l", LABEL)


def test_planted_secrets_are_found_nowhere(site: SiteUnderTest, canaries: list[str]) -> None:
    plain = f"plain-{secrets.token_hex(16)}"
    site.kubectl("create", "configmap", "-n", NAMESPACE, "canary-plain", f"--from-literal=value={plain}")
    try:
        # A change, a refused one and reads of them, as a person makes them.
        site.kubectl("annotate", "secrets", "-n", NAMESPACE, "-l", LABEL, "looked-at=true")
        site.kubectl("get", "secrets", "-n", NAMESPACE, "-l", LABEL, "-o", "json")
        site.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=_changed(site))
        site.antenna("refresh", "--yes")
        # The search finds what is there.
        assert "/var/lib/etcd/member" in found_on(site, "head", [plain], "/var/lib/etcd")
    finally:
        site.kubectl("delete", "configmap", "-n", NAMESPACE, "canary-plain")
    for machine in ("head", "gpu-1", "gpu-2"):
        assert found_on(site, machine, canaries, "/var/log", "/run/log", "/var/lib/antenna", "/etc") == ""
    assert found_on(site, "head", canaries, "/var/lib/etcd", "/opt/antenna") == ""
    # On this host: the state, its journal and logs.
    state = paths.stack_dir(site.stack)
    for folder in (state / "ansible", state / "logs", _backend()):
        assert _found_here(canaries, folder) == "", folder
    assert not any(word in site.kubectl("get", "events", "-A", "-o", "json") for word in canaries)
    named = site.on("head", "cat /var/log/kubernetes/audit/audit.log")
    assert "canary-0" in named  # who, what and when is there


def test_the_keys_to_remote_sites_are_unreadable_in_etcds_files(site: SiteUnderTest) -> None:
    # The first two lines of such a key say what it is; the same in all of them.
    lines = "find /etc/antenna/remote -name '*.key' -exec sed '1,2d;/END/d' {} +"
    assert int(site.on("head", f"{lines} | wc -l")) > 0
    assert site.on("head", f"{lines} | grep -rlaF -f - /var/lib/etcd /var/log || true") == ""


def _changed(site: SiteUnderTest) -> str:
    listed = json.loads(site.kubectl("get", "secret", "-n", NAMESPACE, "canary-0", "-o", "json"))
    listed["metadata"] = {"name": "canary-0", "namespace": NAMESPACE, "labels": {"test": "canary", "a": "b"}}
    return json.dumps(listed)


def _backend() -> Path:
    return paths.home_dir() / ".pulumi"


def _found_here(words: list[str], folder: Path) -> str:
    command = ["grep", "-rlaF", "-f", "-", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, input="\n".join(words), check=False)
    return done.stdout.strip()


def test_a_key_is_replaced_when_it_is_asked_for_and_secrets_stay_readable(
    site: SiteUnderTest, canaries: list[str]
) -> None:
    config = "/etc/kubernetes/encryption/config.yaml"
    before = json.loads(site.on("head", f"cat {config}"))["resources"][0]["providers"]
    assert [list(provider) for provider in before] == [["secretbox"]]
    site.on("head", "touch /etc/kubernetes/encryption/rotate")
    assert any("its rotation was asked for" in line for line in drift(site))
    site.antenna("up", "--yes")
    after = json.loads(site.on("head", f"cat {config}"))["resources"][0]["providers"]
    (old,), (new,) = before[0]["secretbox"]["keys"], after[0]["secretbox"]["keys"]
    assert old["name"] != new["name"]
    assert old["secret"] != new["secret"]
    listed = json.loads(site.kubectl("get", "secrets", "-n", NAMESPACE, "-l", LABEL, "-o", "json"))
    assert len(listed["items"]) == CANARIES
    assert drift(site) == []


def test_a_flag_changed_by_hand_is_told_and_mended_in_place(site: SiteUnderTest) -> None:
    born = site.get("namespace", "kube-system")["metadata"]["uid"]
    manifest = "/etc/kubernetes/manifests/kube-scheduler.yaml"
    site.on("head", f"sed -i 's/--profiling=false/--profiling=true/' {manifest}")
    assert any("kube-scheduler: lacks --profiling=false" in line for line in drift(site))
    site.antenna("up", "--yes")
    assert doctor(site, "control-plane")["verdict"] == "ok"
    assert site.get("namespace", "kube-system")["metadata"]["uid"] == born


def test_a_lost_record_never_costs_the_control_plane(site: SiteUnderTest) -> None:
    born = site.get("namespace", "kube-system")["metadata"]["uid"]
    site.on("head", "rm /var/lib/antenna/kubeadm.json")
    assert any("no record of its control plane" in line for line in drift(site))
    site.antenna("up", "--yes")
    assert site.get("namespace", "kube-system")["metadata"]["uid"] == born
    assert drift(site) == []


def test_only_the_antennas_own_pods_run_on_the_head(site: SiteUnderTest) -> None:
    taints = site.get("node", "head")["spec"]["taints"]
    assert {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"} in taints
    pods = site.get("pods", "-A", "--field-selector=spec.nodeName=head")["items"]
    assert {p["metadata"]["namespace"] for p in pods} <= {
        "kube-system",
        "kueue-system",
        "antenna-system",
        "antenna-monitoring",
    }
    own = [p for p in pods if p["metadata"]["namespace"].startswith("antenna-")]
    limits = [c["resources"]["limits"] for p in own for c in p["spec"]["containers"]]
    assert len(limits) >= 3
    assert all({"memory", "ephemeral-storage"} <= limit.keys() for limit in limits)


def test_a_token_that_never_ends_is_refused(site: SiteUnderTest) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "lasting",
            "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
    }
    assert "never ends" in refused(site, "create", "-f", "-", given=json.dumps(secret))
    types = [s["type"] for s in site.get("secrets", "-A")["items"]]
    assert "kubernetes.io/service-account-token" not in types


def test_an_external_address_of_a_service_is_refused(site: SiteUnderTest) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "elsewhere", "namespace": NAMESPACE},
        "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]},
    }
    assert "externalIPs" in refused(site, "create", "-f", "-", given=json.dumps(service))


def test_a_partners_job_is_given_no_token_unless_it_asks(site: SiteUnderTest) -> None:
    def mounts(spec: dict[str, bool]) -> bool:
        container = {"name": "a", "image": "a", "resources": {"requests": {"cpu": "1m"}}}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "tokenless", "namespace": NAMESPACE},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container], **spec}}},
        }
        made = site.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", given=json.dumps(job))
        found: bool = json.loads(made)["spec"]["template"]["spec"]["automountServiceAccountToken"]
        return found

    assert mounts({}) is False
    assert mounts({"automountServiceAccountToken": True}) is True
