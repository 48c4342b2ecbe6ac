"""One real Slurm for all tests of this folder, and access to it as the operator has it.

Skipped, with the reason, where the host cannot raise one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.sites.slurm.access import SlurmAccess
from tests.remote.packages import missing
from tests.remote.slurm import SlurmSite
from tests.remote.temporary import temporary_slurm
from tests.remote.world import World
from tests.remote.world import world as made_world


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmSite]:
    with temporary_slurm() as site:
        yield site


@pytest.fixture
def access(slurm: SlurmSite) -> Iterator[SlurmAccess]:
    """A connection of its own for each test; nothing goes wrong when it begins."""
    slurm.go_right()
    opened = SlurmAccess(**slurm.access_options)
    yield opened
    opened.close()
    slurm.go_right()


@pytest.fixture(scope="package")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """For the tests of the dispatch: one for all that ask for as many sites."""
    if lack := missing():
        pytest.skip(lack)
    folder = Path(tempfile.mkdtemp(prefix="antenna-world-"))
    folder.chmod(0o711)  # logins of the site have their homes in it
    try:
        with made_world(folder, request.param) as one:
            yield one
    finally:
        shutil.rmtree(folder, ignore_errors=True)
