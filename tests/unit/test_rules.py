"""Rules and alerts: by the table, and by the program that evaluates them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from infra import paths
from infra.tools.build import binary, build
from infra.tools.pins import tool
from monitoring.foreign import FOREIGN
from monitoring.rules.alert import RUNBOOKS, Alert
from monitoring.rules.alerts import ALERTS
from monitoring.rules.groups import FOLDER, groups, rule_files
from monitoring.rules.records import ENERGY
from monitoring.rules.slos import SLO_RECORDS, WAIT_SECONDS
from operators.catalog import FAMILIES
from operators.exposition.render import float_text
from operators.histogram import BUCKETS
from tests.unit.metric_names import metric_names

CASES = Path(__file__).parent / "rules"
RECORDED = {record.name for record in (*ENERGY, *SLO_RECORDS)}
KNOWN = {
    *(family.name for family in FAMILIES if family.type != "histogram"),
    *(f"{f.name}_{part}" for f in FAMILIES if f.type == "histogram" for part in ("bucket", "sum", "count")),
    *FOREIGN,
    *RECORDED,
}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mend"]
every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


@pytest.fixture(scope="session")
def vmalert_tool() -> Path:
    pinned = tool("victoriametrics")
    build([pinned], lambda _: None)
    return binary(pinned, "vmalert-tool")


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda case: case.stem)
def test_the_rules_do_what_their_cases_say(case: Path, vmalert_tool: Path) -> None:
    done = subprocess.run(
        [vmalert_tool, "unittest", "--files", case],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_rule_fails_its_cases(vmalert_tool: Path, tmp_path: Path) -> None:
    rules = (FOLDER / "antenna-alerts.yaml").read_text()
    assert "antenna_node_ready == 0" in rules
    (tmp_path / "antenna-alerts.yaml").write_text(
        rules.replace("antenna_node_ready == 0", "antenna_node_ready == 1")
    )
    cases = yaml.safe_load((CASES / "AntennaNodeNotReady.yaml").read_text())
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({**cases, "rule_files": ["antenna-alerts.yaml"]}))
    argv = [vmalert_tool, "unittest", "--files", tmp_path / "cases.yaml"]
    assert subprocess.run(argv, capture_output=True, timeout=120, check=False).returncode != 0


@every_alert
def test_every_alert_has_cases_in_which_it_fires_stays_silent_and_misses_its_data(alert: Alert) -> None:
    cases = yaml.safe_load((CASES / f"{alert.name}.yaml").read_text())["tests"]
    names = " | ".join(case["name"] for case in cases)
    assert all(word in names for word in ("fires", "stays silent", "absent")), names
    about = {check["alertname"] for case in cases for check in case["alert_rule_test"]}
    assert about == {alert.name}


@every_alert
def test_every_alert_has_a_runbook_that_says_how_to_find_and_mend_it(alert: Alert) -> None:
    url = alert.rule()["annotations"]["runbook_url"]
    assert url == f"{RUNBOOKS}/{alert.name}.md"
    page = (paths.REPOSITORY / "docs/runbooks" / f"{alert.name}.md").read_text()
    assert page.startswith(f"# {alert.name}\n")
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == HEADINGS
    assert "```sh" in page.partition("## Diagnosis")[2].partition("## Mend")[0]
    assert f"Severity {alert.severity}, owner {alert.owner}." in " ".join(page.split())


def test_there_is_no_runbook_of_an_alert_that_is_gone() -> None:
    pages = {page.stem for page in (paths.REPOSITORY / "docs/runbooks").glob("*.md")} - {"README"}
    assert pages == {alert.name for alert in ALERTS}
    listed = (paths.REPOSITORY / "docs/runbooks/README.md").read_text()
    assert all(f"[{page}]({page}.md)" in listed for page in pages)


@pytest.mark.parametrize(
    "rule", [r for g in groups() for r in g["rules"]], ids=lambda r: r.get("alert") or r["record"]
)
def test_rules_use_families_that_somebody_exposes(rule: dict[str, str]) -> None:
    assert metric_names(rule["expr"]) <= KNOWN


def test_the_objective_of_waits_is_a_bound_of_their_histogram_as_the_operator_writes_it() -> None:
    assert WAIT_SECONDS in BUCKETS
    asked = [record.expression for record in SLO_RECORDS if "queue_wait" in record.name]
    assert len(asked) == 4
    assert all(f'le="{float_text(WAIT_SECONDS)}"' in expression for expression in asked)


def test_names_are_found_in_expressions_whatever_surrounds_them() -> None:
    assert metric_names(
        'sum by (a) (rate(b_total{c="d{e}"}[5m] offset 1h)) / on (f) group_left (g) h:i:j > 0'
    ) == {
        "b_total",
        "h:i:j",
    }
    assert metric_names(
        "histogram_quantile(0.5, sum by (le) (increase(x_bucket[1h]))) or absent(y) default 0"
    ) == {
        "x_bucket",
        "y",
    }


def test_the_rule_files_follow_from_the_tables() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.yaml")} == rule_files()
