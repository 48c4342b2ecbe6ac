"""200 real jobs of all partners run on a whole site, and every figure is what its API server says.

Minutes long: ANTENNA_TEST_TRUTH=1 runs it. Real kubelets do not hold still, so that a figure is compared
when two lists, one before and one after the scrape, show that nothing has changed between them.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from infra import paths
from infra.cli.work import burst
from operators.api import API_VERSION
from operators.kube.client import Cluster, connect
from operators.kube.errors import NotFound
from operators.queues import API_VERSION as KUEUE
from tests.cluster import truth
from tests.cluster.comparison import Journal, compare_gauges, compare_totals, settled, totals_of
from tests.live.scraping import ScrapedOperator
from tests.live.site_under_test import SiteUnderTest, eventually

JOBS = 200
MOMENTS = 20
RUN = "truth"
LARGEST = 4  # GPUs of a node
SIZES = (1, 1, 2, 1, 3, 1, 4)
PATIENCE = 240.0  # seconds for a moment in which nothing changes to be met
FAILS = 0.1

pytestmark = pytest.mark.skipif(
    not os.environ.get("ANTENNA_TEST_TRUTH"), reason="a quarter of an hour: ANTENNA_TEST_TRUTH=1 runs it"
)


@pytest.fixture
def cluster(site: SiteUnderTest) -> Iterator[Cluster]:
    """The site's administrator; jobs of the test are gone after it."""
    one = connect(paths.kubeconfig(site.stack), long_lived=True)
    yield one
    for job in jobs(one):
        delete(one, job)
    eventually("the test's jobs are gone", lambda: not jobs(one), seconds=180)
    one.close()


def test_every_figure_is_the_truth_at_twenty_moments_while_200_jobs_run(
    site: SiteUnderTest, cluster: Cluster, reader: str
) -> None:
    dice = random.Random(17)  # noqa: S311
    operator, journal = ScrapedOperator(site, reader), Journal(cluster)
    tenants = {
        tenant["metadata"]["name"]: (tenant["spec"]["sectors"][0], tenant["spec"]["ecosystem"])
        for tenant in cluster.list_objects(API_VERSION, "Tenant")
    }
    assert len(tenants) >= 15
    before: Counter[Any] = Counter()

    def remember(lists: Any, figures: Any) -> list[str]:
        """What was counted of jobs that are gone: the journal cannot know them."""
        before.clear()
        before.update(totals_of(tenants, figures))
        before.subtract(truth.totals(lists, journal.lives(), tenants))
        return compare_gauges(lists, figures) + [
            f"{key} is less than true" for key, n in before.items() if n < 0
        ]

    def right(lists: Any, figures: Any, *, at_rest: bool = False) -> list[str]:
        told = compare_totals(journal, tenants, lists, figures, at_rest=at_rest, before=before)
        return compare_gauges(lists, figures) + told

    settled(cluster, operator, remember, patience=PATIENCE)
    states: Counter[str] = Counter()
    waiting = works(cluster, dice)
    for moment in range(MOMENTS):
        # All are there after the first half; until then they come in handfuls.
        for _ in range(JOBS * 2 // MOMENTS):
            if waiting:
                cluster.create(waiting.pop())
        for job in dice.sample(ours := jobs(cluster), min(2, len(ours))):
            if moment % 3 == 2:
                delete(cluster, job)
        time.sleep(dice.uniform(2, 20))
        settled(cluster, operator, right, patience=PATIENCE)
        states.update(truth.state(job) for job in jobs(cluster))
    assert not waiting
    assert {"pending", "running", "succeeded", "failed"} <= set(states)
    eventually("all jobs have ended", lambda: all(map(truth.finished, jobs(cluster))), seconds=1800, every=5)
    settled(cluster, operator, partial(right, at_rest=True), patience=PATIENCE)


def works(cluster: Cluster, dice: random.Random) -> list[dict[str, Any]]:
    """The jobs, of each partner in turn: 5 to 15 s long, a tenth of them failing."""
    queues = burst.queues(
        cluster.list_objects(KUEUE, "ClusterQueue"),
        cluster.list_objects(KUEUE, "LocalQueue"),
        cluster.list_objects(KUEUE, "Cohort"),
    )
    assert len(queues) >= 15
    made = []
    for number in range(JOBS):
        queue = queues[number % len(queues)]
        gpus = min(dice.choice(SIZES), LARGEST, queue.most)
        work = burst.Work(f"{RUN}-{number:03d}", queue, gpus, dice.randint(5, 15))
        job = burst.job(work, RUN, keep=True)
        if dice.random() < FAILS:
            (container,) = job["spec"]["template"]["spec"]["containers"]
            container["command"] = ["/bin/busybox", "sh", "-c", f"/bin/busybox sleep {work.seconds}; exit 1"]
        made.append(job)
    return made


def jobs(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.list_objects("batch/v1", "Job", labels=f"{burst.RUN_LABEL}={RUN}")


def delete(cluster: Cluster, job: dict[str, Any]) -> None:
    with suppress(NotFound):
        cluster.delete("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["namespace"])
