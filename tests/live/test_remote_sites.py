"""LUMI and JUPITER beside a live site, on demand: ANTENNA_TEST_REMOTE=1."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from infra import paths
from tests.live.remote_sites import PLAYED, with_remote_sites
from tests.live.site_under_test import SiteUnderTest, eventually

pytestmark = pytest.mark.skipif(
    not os.environ.get("ANTENNA_TEST_REMOTE"), reason="two machines more, minutes: ANTENNA_TEST_REMOTE=1"
)


@pytest.fixture(scope="module")
def remote(site: SiteUnderTest) -> Iterator[SiteUnderTest]:
    """The live site with both; without them again afterwards."""
    site.write(with_remote_sites)
    site.antenna("up", "--yes")
    yield site
    site.write()
    site.antenna("up", "--yes")


@pytest.fixture(autouse=True)
def with_both(remote: SiteUnderTest) -> None:
    """Each test finds the site's file with both, whatever was written after the one before."""
    remote.write(with_remote_sites)


def test_both_links_are_up_and_a_second_up_changes_nothing(remote: SiteUnderTest) -> None:
    assert remote.changes() == {}
    links = {link["name"]: link for link in json.loads(remote.antenna("links", "--json").stdout)["links"]}
    assert set(links) == set(PLAYED)
    assert all(link["up"] and not link["problem"] for link in links.values())


def test_each_tenant_reaches_its_project_from_the_head_alone(remote: SiteUnderTest) -> None:
    for site, tool in (
        ("lumi", "lumi-allocations"),
        ("jupiter", "jutil project cpuquota -p antenna-imec -o json"),
    ):
        host = next(s for s in _config(remote)["site:sites"] if s["name"] == site)["access"]["host"]
        key = paths.remote_key(remote.stack, site, "imec").read_text()
        remote.on("head", f"umask 077; cat >/root/key <<'END'\n{key}END")
        ssh = f"ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -i /root/key imec@{host}"
        assert "idle" in remote.on("head", f"{ssh} sinfo")
        assert "imec" in remote.on("head", f"{ssh} {tool}") or site == "lumi"
        assert (
            remote.on("gpu-1", f"timeout 3 bash -c '</dev/tcp/{host}/22' && echo yes || echo no").strip()
            == "no"
        )
    remote.on("head", "rm /root/key")


def test_links_are_told_in_the_nodes_metrics(remote: SiteUnderTest) -> None:
    address = next(m for m in _config(remote)["site:machines"] if m["name"] == "head")["address"]

    def told() -> bool:
        text = remote.on("head", f"curl -s http://{address}:9100/metrics")
        return all(f'antenna_link_up{{link="{name}"}} 1' in text for name in PLAYED)

    eventually("both links are up in the gateway's metrics", told)


def test_keys_are_rotated_and_nothing_is_left_to_do(remote: SiteUnderTest) -> None:
    remote.antenna("links", "rotate")
    assert remote.changes() == {}
    assert remote.changes("refresh") == {}


def _config(site: SiteUnderTest) -> dict:  # type: ignore[type-arg]
    config = json.loads(json.dumps(site.config))["config"]
    with_remote_sites(config)
    return config
