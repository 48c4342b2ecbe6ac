"""The real Alertmanager with the configuration of a site, and the watchdog that gets its beats."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from infra.oncall import oncall_of
from infra.site import parse_site
from infra.tools.build import binary, build
from infra.tools.pins import tool
from monitoring.alertmanager import alertmanager_objects
from monitoring.oncall import SECRETS, alertmanager_config
from monitoring.rules.alerts import ALERTS
from tests.ports import free_ports
from tests.unit.site_examples import REMOTE, edited

ANTENNA = Path(sys.executable).with_name("antenna")
SITE = edited(
    REMOTE,
    (
        "oncall",
        {
            "receivers": [{"name": "pager", "webhook": {"token": True}}],
            "platform": {"contact": "the team", "routes": [{"receivers": ["pager"]}]},
            "sites": {"lumi": {"contact": "CSC"}},
            "watchdog": "pager",
        },
    ),
)
LINK = ("AntennaLinkDown", {"link": "lumi"})
STALE = [("AntennaRemoteSourceStale", {"site": "lumi", "source": source}) for source in ("jobs", "usage")]
NODE = ("AntennaNodeNotReady", {"node": "gpu-1", "site": "local"})
GPU = ("AntennaGPULost", {"node": "gpu-1", "site": "local"})
OTHER_GPU = ("AntennaGPULost", {"node": "gpu-2", "site": "local"})
BEAT = ("AntennaWatchdog", {})

Alert = tuple[str, dict[str, str]]


@dataclass
class Pager:
    """A webhook receiver: all that came, in order, and with which token."""

    port: int = 0
    came: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def told(self) -> list[tuple[str, str, int]]:
        """(status, alert, how many of it) of each notification but beats."""
        return [
            (n["status"], n["groupLabels"]["alertname"], len(n["alerts"]))
            for n in list(self.came)
            if n["groupLabels"]["alertname"] != BEAT[0]
        ]

    def beats(self) -> int:
        return sum(n["groupLabels"]["alertname"] == BEAT[0] for n in list(self.came))


@pytest.fixture
def pager() -> Iterator[Pager]:
    made = Pager()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.tokens.add(self.headers.get("Authorization", ""))
            made.came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@dataclass
class Alertmanager:
    """One process, as its Deployment starts it but for folders, ports and how fast it is."""

    argv: list[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)
        eventually(self.is_ready, lambda: self.log.read_text()[-2000:])

    def is_ready(self) -> bool:
        try:
            return bool(urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200)
        except (URLError, ConnectionError):
            return False

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(
            f"http://127.0.0.1:{self.port}/api/v2/{path}",
            data,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310 (loopback)
            text = answer.read()
        return json.loads(text) if text else None

    def fire(self, *alerts: Alert) -> None:
        self.ask("POST", "alerts", [_posted(alert, minutes=10) for alert in alerts])

    def end(self, *alerts: Alert) -> None:
        self.ask("POST", "alerts", [_posted(alert, minutes=0) for alert in alerts])


@pytest.fixture
def alertmanagers(pager: Pager, tmp_path: Path) -> Iterator[list[Alertmanager]]:
    """Two that know each other."""
    made = started(pager, tmp_path, replicas=2)
    yield made
    for one in made:
        one.kill()


@pytest.fixture
def alertmanager(pager: Pager, tmp_path: Path) -> Iterator[Alertmanager]:
    """One, as the embedded site has it."""
    (made,) = started(pager, tmp_path, replicas=1)
    yield made
    made.kill()


def started(pager: Pager, folder: Path, *, replicas: int) -> list[Alertmanager]:
    pinned = tool("alertmanager")
    build([pinned], lambda _: None)
    oncall = oncall_of(parse_site(SITE, source="Pulumi.x.yaml"))
    assert oncall
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "pager.url").write_text(f"http://127.0.0.1:{pager.port}/")
    (secrets / "pager.token").write_text("open sesame")
    config = alertmanager_config(oncall)
    for route in config["route"]["routes"]:
        # What takes minutes in the night takes a second here.
        route |= {"group_wait": "700ms", "group_interval": "1s"}
        if route["receiver"].endswith("-beat"):
            route |= {"repeat_interval": "500ms"}
    text = yaml.safe_dump(config).replace(SECRETS, str(secrets))
    (folder / "alertmanager.yaml").write_text(text)
    ports = [free_ports(2) for _ in range(replicas)]
    objects = alertmanager_objects(replace(oncall, replicas=replicas), image="a:1", nodes=["head", "gpu-1"])
    made = []
    for i, (port, gossip) in enumerate(ports):
        (deployed,) = [
            o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", f"alertmanager-{i}")
        ]
        (container,) = deployed["spec"]["template"]["spec"]["containers"]
        here = {
            "--config.file": str(folder / "alertmanager.yaml"),
            "--storage.path": str(folder / f"storage-{i}"),
            "--web.listen-address": f"127.0.0.1:{port}",
            "--data.maintenance-interval": "500ms",
            "--dispatch.start-delay": "1s",
            **(
                {
                    "--cluster.listen-address": f"127.0.0.1:{gossip}",
                    "--cluster.peer": f"127.0.0.1:{ports[1 - i][1]}",
                    "--cluster.peer-timeout": "1s",
                }
                if replicas > 1
                else {}
            ),
        }
        deployed_with = dict(argument.split("=", 1) for argument in container["args"])
        argv = [f"{name}={value}" for name, value in {**deployed_with, **here}.items()]
        made.append(Alertmanager([str(binary(pinned, "alertmanager")), *argv], port, folder / f"log-{i}"))
    for one in made:
        one.start()
    return made


def test_one_cause_is_told_once_and_what_follows_when_it_is_mended(
    alertmanager: Alertmanager, pager: Pager
) -> None:
    alertmanager.fire(*STALE, LINK, NODE, GPU, OTHER_GPU)
    expected = [
        ("firing", "AntennaGPULost", 1),  # of the other node
        ("firing", "AntennaLinkDown", 1),
        ("firing", "AntennaNodeNotReady", 1),
    ]
    eventually(lambda: len(pager.told()) >= len(expected), pager.told)
    time.sleep(1.5)  # a round more, in which nothing else may come
    assert sorted(pager.told()) == expected
    assert pager.tokens == {"Bearer open sesame"}
    (lost,) = [n for n in pager.came if n["groupLabels"]["alertname"] == "AntennaGPULost"]
    assert lost["alerts"][0]["labels"]["node"] == "gpu-2"

    pager.came.clear()
    alertmanager.end(LINK)
    follow = [("firing", "AntennaRemoteSourceStale", 2), ("resolved", "AntennaLinkDown", 1)]
    eventually(lambda: sorted(pager.told()) == follow, pager.told)


def test_silences_and_what_was_told_outlive_a_kill(alertmanager: Alertmanager, pager: Pager) -> None:
    alertmanager.fire(NODE)
    eventually(lambda: len(pager.told()) == 1, pager.told)
    now = datetime.now(UTC)
    silence = alertmanager.ask(
        "POST",
        "silences",
        {
            "matchers": [{"name": "link", "value": "lumi", "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=2)).isoformat(),
            "createdBy": "test",
            "comment": "announced",
        },
    )["silenceID"]
    time.sleep(1.2)  # more than the time between two snapshots
    alertmanager.kill()
    alertmanager.start()
    (kept,) = alertmanager.ask("GET", "silences")
    assert (kept["id"], kept["status"]["state"]) == (silence, "active")
    alertmanager.fire(NODE, LINK)
    time.sleep(2.5)
    assert pager.told() == [("firing", "AntennaNodeNotReady", 1)]


def test_of_two_one_tells_and_the_other_does_when_that_one_is_gone(
    alertmanagers: list[Alertmanager], pager: Pager
) -> None:
    first, second = alertmanagers
    eventually(lambda: len(first.ask("GET", "status")["cluster"]["peers"]) == 2, str)
    for one in alertmanagers:
        one.fire(NODE)
    eventually(pager.told, lambda: first.log.read_text()[-2000:])
    time.sleep(2.5)  # in which the other would have told it too
    assert pager.told() == [("firing", "AntennaNodeNotReady", 1)]
    first.kill()
    second.fire(LINK)
    eventually(lambda: pager.told()[1:] == [("firing", "AntennaLinkDown", 1)], pager.told)


def test_the_watchdog_calls_when_beats_stop_and_says_when_they_come_again(
    alertmanager: Alertmanager, pager: Pager, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    argv = [ANTENNA, "watchdog", "--listen", "127.0.0.1:0", "--after", "4", "--json"]
    argv += ["--token-file", tmp_path / "token", "--run", f"touch {tmp_path}/called"]
    said = tmp_path / "said"
    with said.open("w") as out:
        watchdog = subprocess.Popen(argv, stdout=out, text=True)

    def events() -> list[dict[str, str]]:
        return [json.loads(line) for line in said.read_text().splitlines()]

    try:
        eventually(events, said.read_text, seconds=30)
        url = events()[0]["url"]
        with pytest.raises(URLError, match="401"):
            urlopen(url, b"{}", timeout=5)  # noqa: S310 (loopback)
        (tmp_path / "secrets" / "pager.url").write_text(url)  # read anew for each notification
        alertmanager.fire(BEAT, LINK)
        eventually(lambda: any(e["event"] == "page" for e in events()), said.read_text)
        time.sleep(5)
        assert not (tmp_path / "called").exists()
        alertmanager.kill()
        eventually((tmp_path / "called").exists, said.read_text)
        alertmanager.start()
        alertmanager.fire(BEAT)
        eventually(lambda: any(e["event"] == "back" for e in events()), said.read_text)
    finally:
        watchdog.terminate()
        watchdog.wait(10)
    (page,) = [e["text"] for e in events() if e["event"] == "page"]
    assert page.startswith("firing critical: Link {{ $labels.link }} is down; call CSC;")


def eventually(holds: Any, shown: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, shown()
        time.sleep(0.1)


def _posted(alert: Alert, *, minutes: int) -> dict[str, Any]:
    """As vmalert posts it; its templates are rendered elsewhere."""
    name, labels = alert
    (row,) = [one for one in ALERTS if one.name == name]
    rule = row.rule(contact="CSC")
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, **rule["labels"], **labels},
        "annotations": rule["annotations"],
        "startsAt": (now if minutes else now - timedelta(minutes=3)).isoformat(),
        "endsAt": (now + timedelta(minutes=minutes)).isoformat(),
    }
