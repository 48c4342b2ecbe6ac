"""A whole site on this host, raised once for all live tests and taken down after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra import paths
from operators.kube.client import connect
from operators.kube.errors import Unreachable
from operators.manifests import METRICS_READER
from tests.cluster.invariant import beside_the_queue
from tests.live.site_under_test import SiteUnderTest, eventually


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    why = pytest.mark.skip(reason="an embedded site is made of machines on this host: needs Linux and root")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(why)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteUnderTest]:
    """The embedded site on ranges of its own. ANTENNA_TEST_KEEP=1 leaves it up for the next run."""
    file = tmp_path_factory.mktemp("site") / "Pulumi.selftest.yaml"
    site = SiteUnderTest("selftest", file, ("10.87.", "10.88.", "10.89.", "10.86."))
    site.antenna("up", "--yes", timeout=3600)
    yield site
    if not os.environ.get("ANTENNA_TEST_KEEP"):
        site.antenna("down", "--yes")


@pytest.fixture(autouse=True)
def the_site_as_declared(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that edits the site leaves it as it found it, also when it fails."""
    yield
    if "site" in request.fixturenames:
        site: SiteUnderTest = request.getfixturevalue("site")
        site.write()


@pytest.fixture(autouse=True)
def nothing_runs_beside_the_queue(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, whatever it did: no partner's pods hold more GPUs than Kueue counts for its queue."""
    yield
    if "site" not in request.fixturenames:
        return
    site: SiteUnderTest = request.getfixturevalue("site")
    if not paths.kubeconfig(site.stack).exists():
        return  # the README's commands end with the site gone
    cluster = connect(paths.kubeconfig(site.stack))

    def holds() -> bool:
        with suppress(Unreachable):
            return not beside_the_queue(cluster)
        return False

    eventually("no partner runs on more GPUs than its queue counts", holds)
    cluster.close()


@pytest.fixture
def reader(site: SiteUnderTest) -> Iterator[str]:
    """A ServiceAccount that may scrape, gone after the test."""
    name = "test-reader"
    site.kubectl("create", "serviceaccount", "-n", "default", name)
    binding = ["clusterrolebinding", name]
    site.kubectl("create", *binding, f"--clusterrole={METRICS_READER}", f"--serviceaccount=default:{name}")
    yield name
    site.kubectl("delete", *binding)
    site.kubectl("delete", "serviceaccount", "-n", "default", name)
