"""Measures the tunnels of a gateway and leaves what it found to node_exporter's textfile collector.

It tells of the tunnel alone: whether the scheduler beyond it answers is the operator's to say.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config, tunnel

FILE = Path("/var/lib/prometheus/node-exporter/antenna_links.prom")
"""Where Debian's node_exporter looks without being told."""

PINGS = 5
INTERVAL_SECONDS = 0.2
WAIT_SECONDS = 1

FAMILIES = {
    "antenna_link_up": ("gauge", "Whether the tunnel's other end answered the last probe."),
    "antenna_link_last_handshake_timestamp_seconds": (
        "gauge",
        "When WireGuard last shook hands, in seconds since the epoch; 0 for never. It does so every two "
        "minutes while anything flows.",
    ),
    "antenna_link_round_trip_seconds": ("gauge", "Mean round trip of the last probe; absent without any."),
    "antenna_link_probe_packets_total": ("counter", "Probe packets sent to the tunnel's other end."),
    "antenna_link_probe_packets_lost_total": ("counter", "Probe packets that were not answered."),
    "antenna_link_receive_bytes_total": ("counter", "Bytes received over the tunnel since its keys changed."),
    "antenna_link_transmit_bytes_total": ("counter", "Bytes sent over the tunnel since its keys changed."),
    "antenna_link_info": ("gauge", "What carries the tunnel (kernel or wireguard-go), and its interface."),
    "antenna_links_probe_timestamp_seconds": ("gauge", "When the tunnels were last probed."),
}
"""Family -> (type, help)."""

Samples = dict[tuple[str, str], float]
"""(family, labels as text) -> value."""


@dataclass(frozen=True)
class Echo:
    """What a run of ping told; ``seconds`` is the mean round trip, None when nothing came back."""

    sent: int
    received: int
    seconds: float | None


def main() -> None:
    """Probe all tunnels of this gateway side by side, and write the file; no tunnel, no file."""
    documents = [d for name in config.names() if (d := config.load(name)) and d["side"] == "gateway"]
    if not documents:
        FILE.unlink(missing_ok=True)
        return
    pings = {d["name"]: _start_ping(d) for d in documents}
    before = read(FILE.read_text()) if FILE.is_file() else {}
    found: Samples = {("antenna_links_probe_timestamp_seconds", ""): round(time.time(), 3)}
    for document in documents:
        echo = parse_ping(pings[document["name"]].communicate()[0])
        facts = tunnel.facts(document, document["current"])
        found |= samples(document, facts, echo, before)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    fresh = FILE.with_suffix(".new")
    fresh.write_text(render(found))
    fresh.chmod(0o644)
    fresh.replace(FILE)


def measure(document: Mapping[str, Any]) -> dict[str, Any]:
    """Probe one tunnel now; what its peer has sent and received since the keys changed, in bytes."""
    echo = parse_ping(_start_ping(document).communicate()[0])
    facts = tunnel.facts(dict(document), document["current"])
    peer = facts.get("peers", {}).get(document["slots"][document["current"]]["peer_key"], {})
    return {
        "up": echo.received > 0,
        "carrier": facts.get("carrier", ""),
        "round_trip_seconds": echo.seconds,
        "loss": 1 - echo.received / echo.sent,
        "handshake_age_seconds": round(time.time() - peer["handshake"], 1) if peer.get("handshake") else None,
        "received_bytes": peer.get("received", 0),
        "sent_bytes": peer.get("sent", 0),
    }


def samples(
    document: Mapping[str, Any], facts: Mapping[str, Any], echo: Echo, before: Mapping[tuple[str, str], float]
) -> Samples:
    """One tunnel's samples; counters go on from those of the last probe. Pure."""
    label = f'link="{document["name"]}"'
    peer = facts.get("peers", {}).get(document["slots"][document["current"]]["peer_key"], {})

    def go_on(family: str, more: int) -> float:
        return before.get((family, label), 0) + more

    found: dict[str, float] = {
        "antenna_link_up": float(echo.received > 0),
        "antenna_link_last_handshake_timestamp_seconds": peer.get("handshake", 0),
        "antenna_link_probe_packets_total": go_on("antenna_link_probe_packets_total", echo.sent),
        "antenna_link_probe_packets_lost_total": go_on(
            "antenna_link_probe_packets_lost_total", echo.sent - echo.received
        ),
        "antenna_link_receive_bytes_total": peer.get("received", 0),
        "antenna_link_transmit_bytes_total": peer.get("sent", 0),
    }
    if echo.seconds is not None:
        found["antenna_link_round_trip_seconds"] = echo.seconds
    carrier = f'{label},interface="{facts["interface"]}",carrier="{facts.get("carrier", "none")}"'
    return {("antenna_link_info", carrier): 1.0} | {(name, label): value for name, value in found.items()}


def render(found: Samples) -> str:
    """The samples in Prometheus' text format. Pure."""
    lines: list[str] = []
    for family, (kind, text) in FAMILIES.items():
        rows = sorted((labels, value) for (name, labels), value in found.items() if name == family)
        if rows:
            lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}"]
        lines += [
            f"{family}{{{labels}}} {value!r}" if labels else f"{family} {value!r}" for labels, value in rows
        ]
    return "\n".join(lines) + "\n"


def read(text: str) -> Samples:
    """What ``render`` wrote. Pure."""
    rows = re.findall(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    return {(family, labels): float(value) for family, labels, value in rows}


def parse_ping(text: str) -> Echo:
    """The two summary lines of iputils' ping. Pure; nothing sent when there are none."""
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    mean = re.search(r"= [\d.]+/([\d.]+)/", text)
    if not counts:
        return Echo(PINGS, 0, None)
    return Echo(int(counts[1]), int(counts[2]), float(mean[1]) / 1000 if mean else None)


def _start_ping(document: Mapping[str, Any]) -> subprocess.Popen[str]:
    argv = ["ping", "-n", "-q", "-c", str(PINGS), "-i", str(INTERVAL_SECONDS), "-W", str(WAIT_SECONDS)]
    argv += ["-I", document["address"], document["peer_address"]]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


if __name__ == "__main__":
    main()
