"""Dashboards: by the tables, by the program that answers their queries, and as their viewers take them."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from infra import paths
from infra.tools.build import binary, build
from infra.tools.pins import tool
from monitoring.dashboards import grafana, vmui
from monitoring.dashboards.catalog import DASHBOARDS, SHOWN_ON
from monitoring.dashboards.panel import COLUMNS, EVERYTHING, Dashboard, Panel
from monitoring.foreign import FOREIGN
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.alerts import ALERTS, HEARTBEAT
from monitoring.rules.groups import groups
from operators.catalog import FAMILIES
from tests.ports import free_ports
from tests.unit.metric_names import metric_names
from tests.unit.test_rules import KNOWN

LEGEND = re.compile(r"{{(\w+)}}")
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
every_panel = pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{dashboard.name}: {panel.title}" for dashboard, panel in PANELS]
)

LABELS: Mapping[str, tuple[str, ...]] = {
    "ALERTS": ("alertname", "alertstate", "severity"),
    "DCGM": ("node", "gpu"),
    "alertmanager": ("integration", "receiver_name"),
    "antenna_link": ("link",),
    "antenna_network": ("node",),
    "apiserver": (),
    "kubelet": ("node",),
    "kueue": ("result",),
    "node_filesystem": ("node", "device"),
    "node": ("node",),
    "process": ("job", "node"),
    "scrape": ("job", "node"),
    "site:gpu": (),
    "slo": ("site",),
    "tenant:gpu": ("tenant",),
    "up": ("job", "node"),
    "vmalert": (),
    "vm": ("type",),
}
"""Labels of families that the operator does not expose, by how their names begin."""
VALUES = {
    "alertstate": ("firing",),
    "job": ("antenna-operator", "network-policy"),
    "state": ("pending", "running"),
    "le": ("60", "+Inf"),
}


class Store:
    """A VictoriaMetrics with a rising series of each family that anybody exposes."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series of the answer. Raises HTTPError for what is no expression."""
        asked = urlencode({"query": expression, "latency_offset": "1ms"})
        with urlopen(f"http://{self.address}/api/v1/query?{asked}", timeout=20) as answer:
            return [row["metric"] for row in json.load(answer)["data"]["result"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    pinned = tool("victoriametrics")
    build([pinned], lambda _: None)
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("store")
    argv = [
        binary(pinned, "victoria-metrics"),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder}/data",
        "-memory.allowedBytes=64MB",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(argv, stderr=log) as process:
        address = f"127.0.0.1:{port}"
        try:
            _until_it_answers(address, folder / "log")
            told = Request(f"http://{address}/api/v1/import/prometheus", "\n".join(_samples()).encode())
            urlopen(told, timeout=20)  # noqa: S310 (loopback)
            urlopen(f"http://{address}/internal/force_flush", timeout=20)
            yield Store(address)
        finally:
            process.terminate()


def _until_it_answers(address: str, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            urlopen(f"http://{address}/health", timeout=5)
        except URLError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(log.read_text()[-2000:])


def _samples() -> Iterator[str]:
    now = int(time.time())
    for name in sorted(KNOWN):
        places = [""]
        for label in _labels(name):
            values = VALUES.get(label, ("a", "b"))
            places = [f'{place}{label}="{value}",' for place in places for value in values]
        for place in places:
            for ago in range(600, -1, -15):
                yield f"{name}{{{place}}} {1000 - ago} {(now - ago) * 1000}"


def _labels(name: str) -> tuple[str, ...]:
    for family in FAMILIES:
        if name == family.name:
            return family.labels
        if family.type == "histogram" and name.startswith(family.name):
            return (*family.labels, *(("le",) if name.endswith("_bucket") else ()))
    return next(labels for start, labels in LABELS.items() if name.startswith(start))


@every_panel
def test_a_panel_says_what_it_shows_in_what_unit_and_asks_for_what_somebody_exposes(
    dashboard: Dashboard, panel: Panel
) -> None:
    assert panel.about.endswith(".")
    assert panel.unit.suffix
    assert panel.unit.grafana
    legends = [query.legend for query in panel.queries]
    assert len(set(legends)) == len(legends)
    for query in panel.queries:
        names = metric_names(query.expression)
        assert names
        assert names <= KNOWN


@every_panel
def test_a_panels_queries_are_answered_with_what_their_legends_name(
    dashboard: Dashboard, panel: Panel, store: Store
) -> None:
    for query in panel.queries:
        found = store.ask(dashboard.chosen(query.expression))
        labels = set(LEGEND.findall(query.legend))
        assert all(labels == series.keys() - {"__name__"} for series in found), (labels, found)
        # What is compared with 0 or with another series may hold of none here.
        assert found or panel.empty, query.expression


def test_a_wrong_query_is_refused_and_one_of_nothing_is_empty(store: Store) -> None:
    with pytest.raises(HTTPError):
        store.ask("sum by (site) (antenna_queue_jobs")
    assert store.ask("antenna_queue_job") == []
    assert store.ask("antenna_queue_jobs")


@every_panel
def test_queries_are_promql_which_prometheus_takes_too(dashboard: Dashboard, panel: Panel) -> None:
    for query in panel.queries:
        assert not re.search(r"\b(default|if|ifnot|keep_metric_names|limit)\b", query.expression)
        windows = re.findall(r"\b(?:rate|increase|changes|\w+_over_time)\(", query.expression)
        assert len(windows) == len(re.findall(r"\[\d+[mhd]\]", query.expression))


@every_dashboard
def test_what_a_reader_can_choose_chooses(dashboard: Dashboard) -> None:
    asked = " ".join(query.expression for panel in dashboard.panels for query in panel.queries)
    declared = {variable.name for variable in dashboard.variables}
    assert set(re.findall(r"\$(\w+)", asked)) == declared
    assert all(f'{name}=~"${name}"' in asked for name in declared)
    assert all(variable.family in KNOWN for variable in dashboard.variables)
    assert "$" not in dashboard.chosen(asked)


@every_dashboard
def test_rows_are_full_and_titles_tell_panels_apart(dashboard: Dashboard) -> None:
    titles = [panel.title for panel in dashboard.panels]
    assert len(set(titles)) == len(titles)
    for row in dashboard.rows:
        assert sum(panel.width for panel in row.panels) % COLUMNS == 0


def test_the_first_row_of_all_which_is_open_is_of_queues_waits_gpus_and_energy() -> None:
    asked = " ".join(q.expression for panel in DASHBOARDS[0].rows[0].panels for q in panel.queries)
    for family in ("queue_jobs", "pending_age", "queue_gpus_reserved", "gpu_power", "gpu_energy"):
        assert family in asked


def test_every_alert_but_the_beat_is_on_one_panel_and_says_on_which_dashboard() -> None:
    told = [alert for _, panel in PANELS for alert in panel.alerts]
    assert sorted(told) == sorted({alert.name for alert in ALERTS} - {HEARTBEAT.name})
    assert set(SHOWN_ON.values()) <= {dashboard.title for dashboard in DASHBOARDS}


@every_dashboard
def test_the_docs_say_what_a_dashboard_answers_and_what_can_be_chosen(dashboard: Dashboard) -> None:
    chosen = ", ".join(variable.title.lower() for variable in dashboard.variables)
    page = (paths.REPOSITORY / "docs/dashboards.md").read_text()
    assert f"| {dashboard.title} | {dashboard.answers} | {chosen} |\n" in page


@every_dashboard
def test_vmui_is_given_every_query_of_everything_and_the_way_to_the_runbook(dashboard: Dashboard) -> None:
    document = json.loads(vmui.render(dashboard, "https://pages.example.org"))
    assert document["title"] == dashboard.title
    shown = [panel for row in document["rows"] for panel in row["panels"]]
    for panel, declared in zip(shown, dashboard.panels, strict=True):
        assert panel["title"] == declared.title
        assert panel["unit"] == declared.unit.suffix
        assert panel["expr"] == [dashboard.chosen(query.expression) for query in declared.queries]
        assert panel["alias"] == [query.legend for query in declared.queries]
        for alert in declared.alerts:
            assert f"https://pages.example.org/{alert}.md" in panel["description"]
            in_repository = vmui.render(dashboard, RUNBOOKS)
            assert f"`antenna alerts {alert}`" in in_repository


def test_vmui_shows_them_in_their_order() -> None:
    made = vmui.files(DASHBOARDS, RUNBOOKS)
    titles = [json.loads(made[name])["title"] for name in sorted(made)]
    assert titles == [dashboard.title for dashboard in DASHBOARDS]


def test_grafanas_files_follow_from_the_tables_and_say_so() -> None:
    lying = {path.name: path.read_text() for path in grafana.FOLDER.glob("*.json")}
    assert lying == grafana.files(DASHBOARDS)
    assert all(
        "Generated from monitoring/dashboards/" in json.loads(text)["description"] for text in lying.values()
    )


@every_dashboard
def test_grafana_is_given_the_same_with_its_variables_and_links(dashboard: Dashboard) -> None:
    document = json.loads(grafana.render(dashboard))
    assert document["uid"] == f"antenna-{dashboard.name}"
    asked: dict[str, Any] = {one["name"]: one for one in document["templating"]["list"]}
    for variable in dashboard.variables:
        assert asked[variable.name]["query"] == f"label_values({variable.family}, {variable.name})"
        assert asked[variable.name]["allValue"] == EVERYTHING
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    shown = [panel for panel in document["panels"] if panel["type"] != "row"]
    for panel, declared in zip(shown, dashboard.panels, strict=True):
        assert (panel["title"], panel["description"]) == (declared.title, declared.about)
        assert panel["type"] == ("stat" if declared.kind == "number" else "timeseries")
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] == declared.unit.grafana
        assert defaults.get("noValue", "") == declared.empty
        assert panel["datasource"]["uid"] == "${source}"
        targets = [(target["expr"], target["legendFormat"]) for target in panel["targets"]]
        assert targets == [(query.expression, query.legend) for query in declared.queries]
        links = [link["url"] for link in panel["links"]]
        assert links == [f"${{runbooks}}/{alert}.md" for alert in declared.alerts]


def test_no_family_of_others_is_named_that_nobody_asks_for() -> None:
    rules = [rule["expr"] for group in groups() for rule in group["rules"]]
    panels = [query.expression for _, panel in PANELS for query in panel.queries]
    assert set(FOREIGN) <= set().union(*map(metric_names, [*rules, *panels]))
