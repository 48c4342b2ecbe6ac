"""The dispatch with a ledger whose volume is full: jobs wait and say why, and go once it can be written."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from operators.exposition.store import Store
from operators.why.remote import explain_remote
from tests.cluster.patience import eventually
from tests.remote.operating import operating
from tests.remote.volume import volume
from tests.remote.world import World

pytestmark = pytest.mark.parametrize("world", [1], indirect=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="antenna-full-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def unwritten(store: Store) -> float:
    """For how long the ledger has not been written."""
    text = b"".join(store.render(openmetrics=False)).decode()
    return max(
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == "antenna_ledger_unwritten_seconds"
    )


def test_a_job_waits_for_a_ledger_that_is_full_says_so_and_goes_when_there_is_room(
    world: World, folder: Path
) -> None:
    world.declare(floor=1)
    with volume(folder, 8) as on, operating(world, on.at) as store:
        before = world.submit()
        eventually(lambda: world.are([before], "succeeded"), 300)
        on.fill()
        eventually(lambda: unwritten(store) > 0, 120)
        late = world.submit()
        eventually(lambda: "its volume is full" in str(world.statuses()[late].get("message")), 120)
        status = world.statuses()[late]
        assert (status["state"], status["reason"]) == ("pending", "Budget")
        told = explain_remote(world.find(late) or {})
        assert told.text.startswith(
            f"{late} waits: nothing can be charged to project_465000001 at A Slurm on this"
        )
        assert "the ledger cannot be written since" in told.text
        time.sleep(5)
        uid = world.uid(late)
        assert world.accounted([uid]) == {0: 1}
        on.empty()
        eventually(lambda: world.are([late], "succeeded"), 300)
        assert unwritten(store) == 0
        assert world.accounted([uid]) == {1: 1}
        for name in (before, late):
            world.delete(name)
