"""Each Ansible role's own tests, on the live machines."""

from __future__ import annotations

import subprocess
import sys

from infra import paths
from tests.live.site_under_test import SiteUnderTest


def test_every_role_left_its_machines_as_it_promises(site: SiteUnderTest) -> None:
    # A run of its own: which machines there are is only known once the site is up.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "playbooks/roles", "--stack", site.stack],
        cwd=paths.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    print(done.stdout[-8000:])
    assert done.returncode == 0, done.stdout.rpartition("short test summary info")[2]
    assert " passed" in done.stdout
