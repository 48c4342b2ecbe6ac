"""`antenna audit`: what records become in words, and what is asked of the head."""

from __future__ import annotations

import gzip
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.cli.failure import WrongInput
from infra.cli.verbs.audit import FOLDER, command, moment
from infra.cli.views.audit import Deed, deeds
from infra.control_plane import table

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def record(verb: str, resource: str, name: str = "", *, namespace: str = "tenant-ulb", **others: Any) -> str:
    """A line of the log, as the API server writes it."""
    about = {"resource": resource, "namespace": namespace, "name": name, "apiVersion": "v1"}
    about |= {"subresource": others["subresource"]} if "subresource" in others else {}
    user = {"username": others.get("user", "oidc:ann"), "groups": ["oidc:ulb", "system:authenticated"]}
    return json.dumps(
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": others.get("stage", "ResponseComplete"),
            "verb": verb,
            "user": user,
            **({"impersonatedUser": {"username": others["as"]}} if "as" in others else {}),
            "sourceIPs": ["192.0.2.7"],
            "objectRef": {key: value for key, value in about.items() if value},
            "responseStatus": {
                "metadata": {},
                "code": others.get("code", 200),
                "message": others.get("message", ""),
            },
            "requestReceivedTimestamp": others.get("at", "2026-12-01T11:00:00.000000Z"),
        }
    )


def one(line: str, **asked: Any) -> Deed:
    (found,) = deeds([line], **asked)
    return found


DENIED = (
    "jobs.batch \"j\" is forbidden: ValidatingAdmissionPolicy 'antenna-jobs' with binding 'antenna-jobs' "
    "denied request: spec.suspend: a job comes suspended; set it."
)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (record("create", "jobs"), "oidc:ann made a job of ulb"),
        (record("delete", "jobs", "train-7"), "oidc:ann deleted the job train-7 of ulb"),
        (record("deletecollection", "remotejobs"), "oidc:ann deleted all remote jobs of ulb"),
        (record("get", "pods", "p", subresource="log"), "oidc:ann read the log of the pod p of ulb"),
        (record("create", "pods", "p", subresource="exec"), "oidc:ann ran a command in the pod p of ulb"),
        (
            record("list", "secrets", user="oidc:eva", code=403),
            "oidc:eva was refused to list secrets of ulb",
        ),
        (
            record("create", "jobs", "j", code=422, message=DENIED),
            "oidc:ann was refused to make the job j of ulb: spec.suspend: a job comes suspended; set it.",
        ),
        (
            record(
                "create", "jobs", "j", code=422, message='Job.batch "j" is invalid: spec.template: Required'
            ),
            "oidc:ann tried to make the job j of ulb, which failed with 422",
        ),
        (
            record("create", "jobs", "j", code=409),
            "oidc:ann tried to make the job j of ulb, which failed with 409",
        ),
        (
            record("patch", "tenants", "ulb", namespace="", user="admin"),
            "admin changed the declaration of ulb",
        ),
        (
            record("patch", "jobs", "j", subresource="status", user="admin"),
            "admin changed the status of the job j of ulb",
        ),
        (record("get", "secrets", "s", user="admin", **{"as": "oidc:ann"}), "admin as oidc:ann read the"),
    ],
)
def test_a_record_is_told_in_words(line: str, says: str) -> None:
    assert one(line).sentence().startswith(says)


def test_only_what_is_a_partners_is_told_and_only_once_it_is_done() -> None:
    lines = [
        record("list", "nodes", namespace=""),
        record("get", "secrets", "x", namespace="kube-system", user="admin"),
        record("create", "jobs", stage="RequestReceived"),
        '{"cut sho',
        "[]",
        "{}",
    ]
    assert deeds(lines) == []


def test_parts_of_the_cluster_are_left_out_unless_they_are_asked_for() -> None:
    line = record("patch", "localqueues", "default", user="system:serviceaccount:antenna-system:operator")
    assert deeds([line]) == []
    assert one(line, everybody=True).verb == "patch"


def test_the_same_again_and_again_is_one_line() -> None:
    often = [record("get", "pods", "p", at=f"2026-12-01T11:00:{s:02}.000000Z") for s in (3, 1, 2)]
    assert one("\n".join(often[:1])).times == 1
    (found,) = deeds(often)
    assert (found.times, found.at.second, found.last.second) == (3, 1, 3)
    assert found.sentence().endswith("(3 times)")


def test_partner_person_and_moment_choose() -> None:
    lines = [
        record("create", "jobs", "a"),
        record("create", "jobs", "b", namespace="tenant-ulb-2"),
        record("create", "jobs", "c", user="oidc:abe"),
        record("create", "jobs", "d", at="2026-11-30T11:00:00.000000Z"),
    ]
    since = datetime(2026, 12, 1, tzinfo=UTC)
    assert [d.name for d in deeds(lines, tenant="ulb", person="ann", since=since)] == ["a"]
    assert [d.name for d in deeds(lines, person="oidc:abe")] == ["c"]
    assert [d.name for d in deeds(lines, tenant="ulb-2")] == ["b"]


@pytest.mark.parametrize(
    ("who", "person"),
    [
        ({"user": "oidc#ann"}, "ann"),
        ({"user": "oidc:https://login.example.org#7"}, "https://login.example.org#7"),
        ({"user": "admin", "as": "oidc:ann"}, "ann"),
        ({"user": "admin", "as": "oidc:ann"}, "admin"),
    ],
)
def test_a_person_is_found_by_the_name_whatever_stands_before_it(who: dict[str, str], person: str) -> None:
    line = record("create", "jobs", **who)
    assert one(line, person=person).resource == "jobs"
    assert deeds([line], person="an") == []


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("30m", datetime(2026, 12, 1, 11, 30, tzinfo=UTC)),
        ("2d", datetime(2026, 11, 29, 12, tzinfo=UTC)),
        ("2026-11-30", datetime(2026, 11, 30, tzinfo=UTC)),
    ],
)
def test_since_is_so_long_ago_or_a_day(said: str, at: datetime) -> None:
    assert moment(said, NOW) == at
    with pytest.raises(WrongInput, match="no moment"):
        moment(f"{said}x", NOW)


@pytest.mark.parametrize(("tenant", "names"), [("ulb", ["a", "ulb"]), (None, ["a", "b", "ulb"])])
def test_the_head_hands_over_the_lines_of_partners_alone(
    tmp_path: Path, tenant: str | None, names: list[str]
) -> None:
    lines = [
        record("create", "jobs", "a"),
        record("create", "jobs", "b", namespace="tenant-ulb-2"),
        record("list", "nodes", namespace=""),
        record("patch", "tenants", "ulb", namespace=""),
    ]
    # As the API server writes it: without spaces, and of two files the older first, compressed.
    compact = [json.dumps(json.loads(line), separators=(",", ":")) for line in lines]
    (tmp_path / "audit.log").write_text("\n".join(compact[1:]) + "\n")
    rotated = tmp_path / "audit-2026-12-01T10-00-00.000.log.gz"
    rotated.write_bytes(gzip.compress(f"{compact[0]}\n".encode()))
    asked = command(tenant, datetime(2020, 1, 1, tzinfo=UTC)).replace(FOLDER, str(tmp_path))
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True)
    assert [json.loads(line)["objectRef"]["name"] for line in done.stdout.splitlines()] == names
    nothing = subprocess.run(["sh", "-c", command("nobody", NOW).replace(FOLDER, str(tmp_path))], check=False)
    assert nothing.returncode == 0
    missing = subprocess.run(
        ["sh", "-c", asked.replace(str(tmp_path), "/nowhere")], capture_output=True, check=False
    )
    assert missing.returncode != 0


def test_the_log_is_looked_for_where_the_api_server_writes_it() -> None:
    assert table().value("kube-apiserver", "audit-log-path") == f"{FOLDER}/audit.log"


def test_a_copy_of_the_log_is_read_on_any_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    log = tmp_path / "audit.log"
    log.write_text(record("delete", "jobs", "train-7") + "\n")
    shown = CliRunner().invoke(main, ["audit", "--file", str(log), "--since", "2026-12-01"])
    assert "oidc:ann deleted the job train-7 of ulb  from 192.0.2.7" in shown.output
    told = CliRunner().invoke(main, ["audit", "--file", str(log), "--since", "2026-12-01", "--json"])
    assert json.loads(told.stdout)["deeds"][0]["text"] == "oidc:ann deleted the job train-7 of ulb"
    empty = CliRunner().invoke(main, ["audit", "--file", str(log), "--tenant", "vub"])
    assert "nobody did anything since" in empty.output
    assert CliRunner().invoke(main, ["audit", "--tenant", "No Name"]).exit_code == 2
