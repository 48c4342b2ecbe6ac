"""Whom alerts reach: the site file, Alertmanager's configuration, and what its own tool says of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import paths
from infra.oncall import oncall_of
from infra.site import parse_site
from infra.sitefile import load
from infra.tools.build import binary, build
from infra.tools.pins import tool
from monitoring.alertmanager import alertmanager_objects
from monitoring.foreign import FOREIGN
from monitoring.oncall import Oncall, alertmanager_config, contact, secret_keys
from monitoring.rules.alerts import ALERTS
from monitoring.rules.groups import rule_files
from monitoring.rules.inhibition import INHIBITIONS, OF_THE_OPERATOR
from tests.unit.metric_names import metric_names
from tests.unit.site_examples import EMBEDDED

FILES = [paths.REPOSITORY / f"Pulumi.{name}.yaml" for name in ("embedded", "example-site")]


@pytest.fixture(scope="session")
def amtool() -> Path:
    pinned = tool("alertmanager")
    build([pinned], lambda _: None)
    return binary(pinned, "amtool")


@pytest.fixture(scope="session")
def example() -> Oncall:
    found = oncall_of(load(FILES[1]))
    assert found
    return found


@pytest.fixture
def configured(example: Oncall, tmp_path: Path) -> Path:
    path = tmp_path / "alertmanager.yaml"
    path.write_text(yaml.safe_dump(alertmanager_config(example)))
    return path


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_alertmanager_takes_the_configuration_of_the_sites_that_come_along(
    file: Path, amtool: Path, tmp_path: Path
) -> None:
    found = oncall_of(load(file))
    assert found
    (tmp_path / "alertmanager.yaml").write_text(yaml.safe_dump(alertmanager_config(found)))
    done = subprocess.run(
        [amtool, "check-config", tmp_path / "alertmanager.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


PLATFORM = {"owner": "platform"}
TOLD = {
    "critical": ({**PLATFORM, "alertname": "AntennaNodeNotReady", "severity": "critical"}, "pager,room"),
    "a warning": ({**PLATFORM, "alertname": "AntennaGPULost", "severity": "warning"}, "room"),
    "what is a partner's own": (
        {
            **PLATFORM,
            "alertname": "AntennaBudgetNearlyExhausted",
            "severity": "warning",
            "tenant": "imec",
            "site": "lumi",
        },
        "imec-mail,room",
    ),
    "a partner who named nobody": (
        {**PLATFORM, "alertname": "AntennaBudgetNearlyExhausted", "severity": "warning", "tenant": "ugent"},
        "room",
    ),
    "what is about a partner and not its own": (
        {**PLATFORM, "alertname": "AntennaGPUsBesideQueue", "severity": "critical", "tenant": "imec"},
        "pager,room",
    ),
    "the beat": ({**PLATFORM, "alertname": "AntennaWatchdog", "severity": "none"}, "outside-beat"),
    "an alert of somebody else's": ({"alertname": "Other", "severity": "critical"}, "nobody"),
}


@pytest.mark.parametrize("case", TOLD)
def test_each_alert_goes_to_who_the_file_says(case: str, configured: Path, amtool: Path) -> None:
    labels, receivers = TOLD[case]
    argv = [amtool, "config", "routes", "test", f"--config.file={configured}"]
    argv += [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == receivers, done.stderr


def test_nothing_secret_is_in_the_objects_and_the_secret_is_named(example: Oncall) -> None:
    assert secret_keys(example) == (
        "pager.url",
        "pager.token",
        "room.url",
        "imec-mail.password",
        "outside.token",
    )
    objects = alertmanager_objects(example, image="a:1", nodes=["head", "gpu-1"])
    assert "Secret" not in {made["kind"] for made in objects}
    (config,) = [made for made in objects if made["kind"] == "ConfigMap"]
    files = [
        value
        for line in config["data"]["alertmanager.yaml"].splitlines()
        for name, _, value in [line.strip(" -").partition(": ")]
        if name.endswith("_file") and value
    ]
    assert sorted(set(files)) == sorted(f"/etc/antenna/receivers/{key}" for key in secret_keys(example))


def test_two_know_each_other_and_lie_on_two_nodes(example: Oncall) -> None:
    objects = alertmanager_objects(example, image="a:1", nodes=["head", "gpu-1", "gpu-2"])
    by_name = {(made["kind"], made["metadata"]["name"]): made for made in objects}
    nodes = []
    for name, other in (("alertmanager-0", "alertmanager-1"), ("alertmanager-1", "alertmanager-0")):
        (container,) = by_name["Deployment", name]["spec"]["template"]["spec"]["containers"]
        peers = [a for a in container["args"] if a.startswith("--cluster.peer=")]
        assert peers == [f"--cluster.peer={other}.antenna-monitoring.svc:9094"]
        volume = by_name["PersistentVolume", name]["spec"]
        assert volume["claimRef"]["name"] == name
        nodes.append(
            volume["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
        )
    assert nodes == [["head"], ["gpu-1"]]


def test_what_derives_from_the_operator_is_what_asks_for_its_figures() -> None:
    foreign = set(FOREIGN)
    derived = {alert.name for alert in ALERTS if metric_names(alert.expression) - foreign}
    assert derived == set(OF_THE_OPERATOR)


def test_causes_and_what_follows_are_alerts_that_there_are() -> None:
    names = {alert.name for alert in ALERTS}
    for row in INHIBITIONS:
        assert {row.cause, *row.follows} <= names
        assert row.cause not in row.follows


def test_a_link_that_is_down_silences_its_own_site_alone() -> None:
    found = oncall_of(load(FILES[0]))
    assert found
    rules = [r for r in alertmanager_config(found)["inhibit_rules"] if "link=" in str(r)]
    assert [(r["source_matchers"][1], r["target_matchers"][1]) for r in rules] == [
        ('link="lumi"', 'site="lumi"'),
        ('link="jupiter"', 'site="jupiter"'),
    ]


def test_contacts_and_runbooks_stand_in_the_alerts(tmp_path: Path) -> None:
    build([tool("victoriametrics")], lambda _: None)
    found = oncall_of(load(FILES[0]))
    assert found
    for name, text in rule_files("https://docs.example.org/runbooks", contact(found)).items():
        (tmp_path / name).write_text(text)
    annotations = {
        "summary": "Link lumi is down",
        "runbook_url": "https://docs.example.org/runbooks/AntennaLinkDown.md",
        "dashboard": "Links",
        "contact": f"{found.platform.contact}; lumi: {found.sites['lumi'].contact}",
    }
    case: dict[str, Any] = {
        "rule_files": ["antenna-alerts.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": 'antenna_link_up{link="lumi"}', "values": "0x20"}],
                "alert_rule_test": [
                    {
                        "eval_time": "4m",
                        "groupname": "antenna-alerts",
                        "alertname": "AntennaLinkDown",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "critical", "owner": "platform", "link": "lumi"},
                                "exp_annotations": {**annotations, "description": _described()},
                            }
                        ],
                    }
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(json.dumps(case))
    argv = [binary(tool("victoriametrics"), "vmalert-tool"), "unittest", "--files", tmp_path / "case.yaml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _described() -> str:
    (link,) = [alert for alert in ALERTS if alert.name == "AntennaLinkDown"]
    return link.description.replace("{{ $labels.link }}", "lumi")


def test_a_site_without_receivers_has_nobody_to_tell() -> None:
    assert oncall_of(parse_site(EMBEDDED, source="Pulumi.x.yaml")) is None
