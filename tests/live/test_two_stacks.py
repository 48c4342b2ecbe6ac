"""Two sites live side by side on one host, and one goes without a trace while the other stays."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from infra import paths
from infra.provider.leftovers import Trace, list_traces
from tests.live.site_under_test import ANTENNA, SiteUnderTest, without_remote_sites


def head_and_one_gpu_node(config: dict[str, Any]) -> None:
    without_remote_sites(config)
    config["site:machines"] = [m for m in config["site:machines"] if m["name"] != "gpu-2"]
    del config["site:tenants"][3:]
    for tenant in config["site:tenants"]:
        tenant["quota"]["h100"] = 1


def lasting(site: SiteUnderTest) -> list[Trace]:
    """What is of the site on this host, without what comes and goes in its machines: processes, services."""
    return [t for t in list_traces(site.stack) if t.kind != "process" and "/payload/" not in t.what]


def test_a_second_stack_comes_and_goes_beside_the_first(site: SiteUnderTest, tmp_path: Path) -> None:
    first_before = lasting(site)
    second = SiteUnderTest(
        "second", tmp_path / "Pulumi.second.yaml", ("10.127.", "10.128.", "10.129.", "10.126.")
    )
    second.write(head_and_one_gpu_node)
    assert list_traces("second") == []
    second.antenna("up", "--yes")
    try:
        for stack, names in ((site, {"head", "gpu-1", "gpu-2"}), (second, {"head", "gpu-1"})):
            shown = json.loads(stack.antenna("status", "--json").stdout)
            assert shown["healthy"], shown
            assert {n["name"] for n in shown["nodes"]} == names
    finally:
        second.antenna("down", "--yes")
    assert list_traces("second") == []
    assert lasting(site) == first_before
    assert json.loads(site.antenna("status", "--json").stdout)["healthy"]


def test_a_second_up_at_the_same_time_says_who_holds_the_lock(site: SiteUnderTest) -> None:
    command = [str(ANTENNA), "refresh", "--stack", site.stack, "--config-file", str(site.file), "--yes"]
    with subprocess.Popen(command, cwd=paths.REPOSITORY, stdout=subprocess.DEVNULL) as first:
        time.sleep(6)
        assert first.poll() is None
        refused = site.antenna("up", "--yes", check=False)
        first.wait(120)
    assert refused.returncode == 4
    assert f"pid {first.pid}" in refused.stderr + refused.stdout
    assert os.uname().nodename in refused.stderr + refused.stdout
