"""Monitoring on a real site: it scrapes what there is, its graphs have data, its alerts come and go."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from infra.cli.work.forward import forward
from monitoring import alertmanager
from monitoring.dashboards.catalog import DASHBOARDS
from monitoring.manifests import NAME
from monitoring.parts import NAMESPACE
from monitoring.rules.alerts import ALERTS, HEARTBEAT
from monitoring.scrape import ALERTMANAGER_PORT
from tests.live.site_under_test import ANTENNA, SiteUnderTest, eventually

# Each waits as long as an alert waits before it fires.
LONG = pytest.mark.skipif(
    not os.environ.get("ANTENNA_TEST_ALERTS"),
    reason="a quarter of an hour in all: ANTENNA_TEST_ALERTS=1 runs it",
)

SCRAPED = {
    "apiserver": 1,
    "antenna-operator": 1,
    "kueue": 1,
    "node": 3,
    "kubelet": 3,
    "cadvisor": 3,
    "dcgm": 2,
    "network-policy": 3,
    "victoria-metrics": 1,
    "vmalert": 1,
    "alertmanager": 1,
}
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
QUERIES = {
    f"{dashboard.name}: {panel.title}: {query.legend}": (dashboard.chosen(query.expression), panel.empty)
    for dashboard, panel in PANELS
    for query in panel.queries
}
"""By where it is shown: an expression, and what it means that its answer is empty ("": it may not be)."""
PARTNER = "vub"  # it has a GPU of its own: a queue without any is never stuck beside its own free quota
STOPPED = {"spec": {"stopPolicy": "Hold"}}
GOING = {"spec": {"stopPolicy": "None"}}
API_SERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {
        "suspend": True,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "work",
                        "image": "antenna.be/sample-work:1",
                        "command": ["true"],
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "64Mi"},
                            "limits": {"nvidia.com/gpu": 1},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            }
        },
    },
}


class Graphs:
    """VictoriaMetrics behind the address that `antenna dashboard` printed."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> Any:
        with urlopen(f"http://{self.address}{path}?{urlencode(query)}", timeout=20) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["data"]["result"]
        return result

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self.get("/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture
def graphs(site: SiteUnderTest) -> Iterator[Graphs]:
    with dashboard(site) as url:
        yield Graphs(urlsplit(url).netloc)


@contextmanager
def dashboard(site: SiteUnderTest) -> Iterator[str]:
    """`antenna dashboard` while a test runs; what it prints on stdout."""
    argv = [str(ANTENNA), "--stack", site.stack, "dashboard", "--port", "0", "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(10)


def test_everything_that_the_site_has_is_scraped(graphs: Graphs) -> None:
    def targets() -> dict[str, int]:
        found = graphs.query("sum by (job) (up)")
        return {row["metric"]["job"]: int(row["value"][1]) for row in found}

    eventually("all targets answer", lambda: targets() == SCRAPED, 180, every=5)


def test_every_query_of_every_dashboard_has_data_while_jobs_run(
    graphs: Graphs, site: SiteUnderTest, tmp_path: Path
) -> None:
    said = tmp_path / "demo"
    with said.open("w") as out:
        demo = subprocess.Popen(
            [ANTENNA, "--stack", site.stack, "--config-file", site.file, "demo", "--jobs", "60"],
            stdout=subprocess.DEVNULL,
            stderr=out,
        )
    empty = {shown for shown, (_, meaning) in QUERIES.items() if not meaning}
    end = time.monotonic() + 240
    try:
        # Work of remote sites is counted when it has ended.
        while empty and (demo.poll() is None or time.monotonic() < end):
            empty -= {shown for shown in empty if graphs.query(QUERIES[shown][0])}
            time.sleep(2)
        for shown in QUERIES:
            graphs.query(QUERIES[shown][0])  # one that is refused raises, whatever it may answer
    finally:
        demo.wait(600)
    assert not empty
    assert demo.returncode == 0, said.read_text()[-5000:]


def test_vmui_shows_every_dashboard(graphs: Graphs) -> None:
    shown = graphs.get("/vmui/custom-dashboards")["dashboardsSettings"]
    assert [one["title"] for one in shown] == [dashboard.title for dashboard in DASHBOARDS]
    with urlopen(f"http://{graphs.address}/vmui/", timeout=20) as page:
        assert b"<html" in page.read()


@pytest.mark.parametrize(
    ("program", "port"), [(NAME, 8428), (NAME, 8880), (alertmanager.NAME, ALERTMANAGER_PORT)]
)
def test_pods_and_machines_cannot_reach_it(site: SiteUnderTest, program: str, port: int) -> None:
    (pod,) = site.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={program}")["items"]
    with pytest.raises(URLError, match="timed out"):
        urlopen(f"http://{pod['status']['podIP']}:{port}/metrics", timeout=5)


def test_what_fires_and_the_beat_reach_the_receiver_of_the_sites_file(site: SiteUnderTest) -> None:
    came: dict[str, dict[str, Any]] = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.setdefault(told["groupLabels"]["alertname"], told)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    (receiver,) = site.config["config"]["site:oncall"]["receivers"]
    where = urlsplit(receiver["webhook"]["url"])
    server = ThreadingHTTPServer((str(where.hostname), int(where.port or 80)), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    now = datetime.now(UTC)
    labels = {"alertname": "AntennaTest", "severity": "critical", "owner": "platform", "link": "lumi"}
    alert = {"labels": labels, "endsAt": (now + timedelta(minutes=2)).isoformat()}
    try:
        with forward(site.stack, NAMESPACE, f"{alertmanager.NAME}-0", ALERTMANAGER_PORT, what="alerts") as (
            _,
            there,
        ):

            def post(path: str, told: object) -> None:
                body, kind = json.dumps(told).encode(), {"Content-Type": "application/json"}
                urlopen(Request(f"http://{there}/api/v2/{path}", body, kind), timeout=20)

            post("alerts", [alert])
            # vmalert's own, which it sends as long as anything is scraped: the whole way.
            eventually("both have come", lambda: came.keys() >= {"AntennaTest", HEARTBEAT.name}, 100)
            # Nobody listens when it ends: Alertmanager would try to say so for good, and that fires too.
            ours = {"name": "alertname", "value": "AntennaTest", "isRegex": False}
            until = (now + timedelta(minutes=10)).isoformat()
            silence = {
                "startsAt": now.isoformat(),
                "endsAt": until,
                "createdBy": "test",
                "comment": "it ends",
            }
            post("silences", {"matchers": [ours], **silence})
    finally:
        server.shutdown()
        server.server_close()
    assert came["AntennaTest"]["status"] == "firing"
    assert "whoever raised this site" in came[HEARTBEAT.name]["alerts"][0]["annotations"]["contact"]


def test_the_scraper_may_not_read_what_is_not_metrics(site: SiteUnderTest) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:{NAME}"
    allowed = {"nodes": True, "secrets": False, "pods": False, "jobs.batch": False}
    for resource, may in allowed.items():
        argv = ["auth", "can-i", "list", resource, "-A", "--as", account]
        assert _succeeds(site, *argv) == may, resource


@LONG
def test_a_lost_gpu_a_lost_node_and_a_stopped_queue_are_told_until_they_are_mended(
    graphs: Graphs, site: SiteUnderTest
) -> None:
    job = json.loads(json.dumps(JOB))
    job["metadata"] = {
        "name": "stuck",
        "namespace": f"tenant-{PARTNER}",
        "labels": {"kueue.x-k8s.io/queue-name": "default"},
    }
    faults = {"AntennaGPULost", "AntennaNodeNotReady", "AntennaQueueStuckWithFreeCapacity"}
    assert not graphs.firing() & faults
    try:
        site.on("gpu-1", "echo 79 > /run/antenna/gpus/0/xid")
        site.kubectl("patch", "clusterqueue", PARTNER, "--type=merge", "-p", json.dumps(STOPPED))
        site.kubectl("create", "-f", "-", given=json.dumps(job))
        site.on("gpu-2", "systemctl stop kubelet")
        eventually(f"{faults} fire", _told(graphs, lambda firing: faults <= firing), 540, every=5)
    finally:
        site.on("gpu-1", "rm -f /run/antenna/gpus/0/xid")
        site.on("gpu-2", "systemctl start kubelet")
        site.kubectl("patch", "clusterqueue", PARTNER, "--type=merge", "-p", json.dumps(GOING))
    eventually(f"{faults} are resolved", _told(graphs, lambda firing: not faults & firing), 180, every=5)
    site.kubectl("delete", "job", "stuck", "-n", f"tenant-{PARTNER}")


@LONG
def test_an_api_server_that_is_silent_is_told_until_it_speaks(graphs: Graphs, site: SiteUnderTest) -> None:
    # The forward goes through the API server too, so what was told meanwhile is asked afterwards.
    try:
        site.on("head", f"mv {API_SERVER} /root/")
        time.sleep(200)
    finally:
        site.on("head", f"mv /root/kube-apiserver.yaml {API_SERVER}")
    eventually("the API server answers", lambda: _succeeds(site, "get", "nodes"), 120)
    with dashboard(site) as url:
        again = Graphs(urlsplit(url).netloc)
        told = 'max_over_time(ALERTS{alertname="AntennaWatchStale", alertstate="firing"}[5m])'
        assert eventually("it was told", lambda: again.query(told), 60)
        eventually("it is resolved", lambda: "AntennaWatchStale" not in again.firing(), 120, every=5)


@LONG
def test_an_operator_that_is_gone_is_told_until_it_is_back(graphs: Graphs, site: SiteUnderTest) -> None:
    scale = ["scale", "deployment", "antenna-operator", "-n", "antenna-system"]
    try:
        site.kubectl(*scale, "--replicas=0")
        eventually("it is told", _told(graphs, lambda firing: "AntennaOperatorDown" in firing), 300, every=5)
    finally:
        site.kubectl(*scale, "--replicas=1")
    eventually("it is resolved", _told(graphs, lambda firing: "AntennaOperatorDown" not in firing), 180)


def test_no_alert_fires_on_a_site_that_is_well(graphs: Graphs) -> None:
    names = {alert.name for alert in ALERTS} - {HEARTBEAT.name}
    eventually("all is quiet", _told(graphs, lambda firing: not names & firing), 180, every=5)


def _told(graphs: Graphs, holds: Callable[[set[str]], bool]) -> Callable[[], bool]:
    return lambda: holds(graphs.firing())


def _succeeds(site: SiteUnderTest, *arguments: str) -> bool:
    try:
        site.kubectl(*arguments)
    except AssertionError:
        return False
    return True
