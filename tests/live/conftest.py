"""A whole site on this host, raised once for all live tests and taken down after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.manifests import METRICS_READER
from tests.live.site_under_test import SiteUnderTest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The README ends with `make down`: nothing can be tested on the site after it.
    items.sort(key=lambda item: item.path.name == "test_readme.py")
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
