"""A real Slurm for some tests, gone after them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.remote.packages import missing
from tests.remote.slurm import SlurmSite, slurm_site


@contextmanager
def temporary_slurm(**options: int) -> Iterator[SlurmSite]:
    """One in a temporary folder; ``options`` are ``slurm_site``'s. Skips where the host cannot raise one."""
    if lack := missing():
        pytest.skip(lack)
    folder = Path(tempfile.mkdtemp(prefix="antenna-slurm-"))
    try:
        with slurm_site(folder, **options) as site:
            yield site
    finally:
        shutil.rmtree(folder, ignore_errors=True)
