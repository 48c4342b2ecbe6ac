"""The official Pulumi CLI and the embedded engine continue each other's work on a real site."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from infra import paths
from infra.cli.engines.open import passphrase
from tests.live.site_under_test import SiteUnderTest
from tests.live.test_changes import tenant

pytestmark = pytest.mark.skipif(shutil.which("pulumi") is None, reason="needs the official CLI on the PATH")
ENGINES = ("pulumi", "embedded")


def pulumi(site: SiteUnderTest, *arguments: str) -> str:
    """Run `pulumi ARGUMENTS` as a person would type it in the repository."""
    given = passphrase(touch=False)
    done = subprocess.run(
        ["pulumi", *arguments, "--stack", site.stack, "--config-file", str(site.file), "--non-interactive"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=paths.REPOSITORY,
        env={**os.environ, **given},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_finds_nothing_to_change(site: SiteUnderTest, engine: str) -> None:
    assert site.changes("preview", "--engine", engine) == {}


def test_pulumi_up_typed_directly_continues_the_site(site: SiteUnderTest) -> None:
    name = site.config["config"]["site:tenants"][0]["name"]
    assert "unchanged" in pulumi(site, "up", "--yes")

    site.write(lambda config: tenant(config, name)["quota"].update(h100=0))
    planned = json.loads(pulumi(site, "preview", "--json"))
    assert [s["op"] for s in planned["steps"] if s["op"] != "same"] == ["update"]
    pulumi(site, "up", "--yes")
    assert site.changes("preview", "--engine", "embedded") == {}

    site.write()
    assert site.changes("up", "--engine", "embedded", "--yes") == {f"tenant-{name}": "update"}
    assert "unchanged" in pulumi(site, "up", "--yes", "--expect-no-changes")
