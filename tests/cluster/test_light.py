"""The light control plane itself."""

from __future__ import annotations

import time
from pathlib import Path

from tests.cluster.light import light_cluster


def test_two_are_up_at_once_and_nothing_of_the_second_stays(light, tmp_path):
    with light_cluster(tmp_path / "second", kueue=False) as second:
        servers = {
            c.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
            for c in (light, second)
        }
        second.kubectl("create", "namespace", "only-in-the-second")
        assert "only-in-the-second" not in light.kubectl("get", "namespaces")
        assert len(servers) == 2
        assert all(server.startswith("https://127.0.0.1:") for server in servers)
        assert running(tmp_path)
    time.sleep(0.5)
    assert running(tmp_path) == []


def running(folder):
    """Command lines that name the folder, of processes that have not ended."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            lines.append(line)
    return lines
