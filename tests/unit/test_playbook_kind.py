"""The Playbook kind: what it refuses, what it calls a change, and what a run's events become."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.provider.kind import UNKNOWN, ProviderError
from infra.provider.playbook import Playbook, state_dir
from playbooks.process import (
    MARK,
    Outcome,
    Result,
    Run,
    drift,
    end_leftovers,
    failure,
    follow,
    leftovers,
)


def host(address: str, *groups: str) -> dict[str, Any]:
    return {
        "address": address,
        "user": "root",
        "port": 22,
        "groups": list(groups),
        "vars": {"antenna_pod_cidr": f"{address}/32"},
    }


def inputs(**other: Any) -> dict[str, Any]:
    return {
        "stack": "t",
        "playbook": "site.yml",
        "remove": "remove_node.yml",
        "hosts": {"head": host("10.0.0.1", "head"), "gpu-1": host("10.0.0.2", "workers")},
        "vars": {"antenna_stack": "t"},
        "digest": "d",
        "identity_file": "/k",
        "known_hosts": "/h",
        **other,
    }


def report(line: str) -> None:
    """Nobody watches."""


def test_good_inputs_have_no_failures() -> None:
    assert Playbook().check(inputs()) == []


@pytest.mark.parametrize(
    ("wrong", "prop", "reason"),
    [
        ({"digest": None}, "digest", "is required"),
        ({"playbook": "nope.yml"}, "playbook", "there is no playbook 'nope.yml'"),
        ({"hosts": {"a": {"address": "10.0.0.1"}}}, "hosts.a", "needs user"),
        ({"hosts": {"a": host("10.0.0.1", "workers")}}, "hosts", "exactly one host must be in group 'head'"),
    ],
)
def test_wrong_inputs_are_named(wrong: dict[str, Any], prop: str, reason: str) -> None:
    failures = Playbook().check(inputs(**wrong))
    assert any(name == prop and text.startswith(reason) for name, text in failures)


def test_what_a_preview_does_not_know_is_no_failure() -> None:
    assert Playbook().check(inputs(digest=UNKNOWN, hosts=UNKNOWN)) == []
    assert Playbook().check(inputs(hosts={"head": UNKNOWN})) == []


def test_nothing_changed_is_no_run() -> None:
    diff = Playbook().diff(inputs(), {**inputs(), "drift": []}, inputs())
    assert diff.changes == []
    assert diff.replaces == []


def test_hosts_that_come_go_and_change_are_named() -> None:
    new = inputs(hosts={"head": host("10.0.0.9", "head"), "gpu-2": host("10.0.0.3", "workers")})
    diff = Playbook().diff(inputs(), {"drift": []}, new)
    assert diff.changes == ["hosts"]
    assert diff.detailed == {"hosts.gpu-2": "add", "hosts.gpu-1": "delete", "hosts.head": "update"}


def test_drift_and_missing_credentials_mean_a_run(tmp_path: Path) -> None:
    drifted = Playbook().diff(inputs(), {"drift": ["gpu-1: unreachable"]}, inputs())
    assert drifted.changes == ["drift"]
    elsewhere = inputs(vars={"antenna_kubeconfig": str(tmp_path / "kubeconfig")})
    assert Playbook().diff(elsewhere, {"drift": []}, elsewhere).changes == ["drift"]
    (tmp_path / "kubeconfig").write_text("")
    assert Playbook().diff(elsewhere, {"drift": []}, elsewhere).changes == []


def kubeconfig(path: Path, days: int) -> None:
    """A kubeconfig whose certificate ends in so many days."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "antenna-admin:eve")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    user = {"client-certificate-data": base64.b64encode(pem).decode()}
    path.write_text(json.dumps({"users": [{"name": "eve", "user": user}]}))


@pytest.mark.parametrize(("days", "changes"), [(14, []), (8, []), (6, ["drift"]), (-1, ["drift"])])
def test_an_administrators_certificate_is_made_anew_before_it_ends(
    tmp_path: Path, days: int, changes: list[str]
) -> None:
    kubeconfig(tmp_path / "kubeconfig", days)
    own = inputs(vars={"antenna_kubeconfig": str(tmp_path / "kubeconfig")})
    assert Playbook().diff(own, {"drift": []}, own).changes == changes


def test_another_stack_is_another_run() -> None:
    assert Playbook().diff(inputs(), {"drift": []}, inputs(stack="u")).replaces == ["stack"]


def test_a_run_cannot_be_imported() -> None:
    with pytest.raises(ProviderError, match="cannot be imported"):
        Playbook().read("t/site", {}, {}, report)


def test_hosts_that_leave_are_removed_before_the_others_are_changed(monkeypatch: Any) -> None:
    calls: list[tuple[str, list[str], Any]] = []

    def start(
        given: dict[str, Any], playbook: str, _: Any, *, check: bool = False, extra: Any = None
    ) -> Outcome:
        calls.append((playbook, sorted(given["hosts"]), extra))
        return Outcome(log=Path("/log"), recap={"head": {"ok": 1}})

    monkeypatch.setattr("infra.provider.playbook.start", start)
    new = inputs(hosts={"head": host("10.0.0.1", "head")})
    state = Playbook().update("t/site", inputs(), {}, new, report)
    assert calls == [
        ("remove_node.yml", ["head"], {"antenna_leaving": [{"name": "gpu-1"}]}),
        ("site.yml", ["head"], None),
    ]
    assert state["recap"] == {"head": {"ok": 1}}
    assert state["drift"] == []


def test_a_failed_run_is_one_readable_message(monkeypatch: Any) -> None:
    failed = [Result("gpu-1", "Join the cluster", "kubeadm join: no route"), Result("gpu-2", "Join", "same")]
    outcome = Outcome(log=Path("/logs/x.log"), failed=failed)
    monkeypatch.setattr("infra.provider.playbook.start", lambda *_, **__: outcome)
    with pytest.raises(ProviderError) as caught:
        Playbook().create(inputs(), report)
    assert str(caught.value) == (
        "gpu-1: Join the cluster: kubeadm join: no route\nAlso failed: gpu-2\nThe full log is /logs/x.log"
    )


def test_of_a_long_reason_the_first_line_and_the_end_are_shown() -> None:
    outcome = Outcome(log=Path("/l"), failed=[Result("a", "t", "\n".join(map(str, range(50))))])
    assert failure(outcome).splitlines() == ["a: t: 0", *map(str, range(45, 50)), "The full log is /l"]


def test_what_a_check_run_finds_is_drift_by_host_task_and_item() -> None:
    outcome = Outcome(log=Path("/l"))
    events: list[dict[str, Any]] = [
        {"event": "changed", "host": "gpu-1", "task": "Routes", "reason": "", "changes": ["a: missing"]},
        {"event": "changed", "host": "gpu-2", "task": "Other", "reason": "", "changes": []},
        {
            "event": "failed", "host": "gpu-3", "task": "Any", "reason": "timed out", "changes": [],
            "unreachable": True,
        },
        {"event": "recap", "recap": {"gpu-1": {"changed": 1}}},
    ]  # fmt: skip
    for event in events:
        follow(event, outcome, report)
    assert drift(outcome) == [
        "gpu-1: Routes: a: missing",
        "gpu-2: Other: would change",
        "gpu-3: unreachable: timed out",
    ]


def test_progress_says_which_play_task_and_host() -> None:
    lines: list[str] = []
    line = "play 5/7 cluster: Join the cluster (gpu-1)"
    follow({"event": "progress", "line": line}, Outcome(log=Path("/l")), lines.append)
    assert lines == [line]


def run_against_nothing(tmp_path: Path) -> Run:
    """A run that gets as far as an address that answers nothing."""
    (tmp_path / "known").write_text("")
    return Run(
        playbook="remove_node.yml",
        hosts={"head": host("192.0.2.1", "head")},
        variables={
            **dict.fromkeys(("antenna_stack", "antenna_service_cidr", "antenna_kubernetes_version"), "x"),
            "antenna_nested": True,
            "antenna_leaving": [],
        },
        identity_file=str(tmp_path / "key"),
        known_hosts=str(tmp_path / "known"),
        state_dir=tmp_path / "state",
        log_dir=tmp_path / "logs",
    )


def test_a_host_that_does_not_answer_is_named_and_logged(tmp_path: Path) -> None:
    hosts = {"head": {**host("127.0.0.1", "head"), "port": 1}}
    run = run_against_nothing(tmp_path)
    outcome = Run(**{**run.__dict__, "hosts": hosts}).start(report)
    assert [(row.host, row.unreachable) for row in outcome.failed] == [("head", True)]
    assert "Connection refused" in failure(outcome)
    assert "UNREACHABLE" in outcome.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is a signal on Linux only")
def test_a_run_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.unit.test_playbook_kind import run_against_nothing\n"
        "run_against_nothing(Path(sys.argv[1])).start(lambda line: None)"
    )
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path), root], cwd=root) as parent:
        log = tmp_path / "logs"
        wait_for(lambda: any(p.stat().st_size for p in log.glob("*.log")) if log.is_dir() else False)
        assert len(leftovers(tmp_path / "state")) > 1
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: leftovers(tmp_path / "state") == [])


def test_what_a_killed_run_left_is_ended_by_the_next(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: str(tmp_path)})
    wait_for(lambda: leftovers(tmp_path) == [left.pid])
    end_leftovers(tmp_path)
    assert left.wait(5) == -signal.SIGKILL


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_runs_that_may_go_side_by_side_keep_apart_what_they_need() -> None:
    cluster, sites = (state_dir("t", name) for name in ("site.yml", "sites.yml"))
    assert cluster != sites
    assert state_dir("t", "remove_node.yml") == state_dir("t", "reset.yml") == cluster
    # What a site's last machine takes with it is one folder.
    assert sites.is_relative_to(cluster)
