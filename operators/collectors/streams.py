"""The streams of Jobs and Workloads: what goes into ``Work``, and into the history before it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from operators.collectors.history import Log
from operators.collectors.jobs import JobFacts
from operators.collectors.work import Work
from operators.collectors.workloads import WorkloadFacts


class Jobs:
    """The stream of Jobs, as ``job_facts`` reads them."""

    def __init__(self, work: Work, log: Log, arrived: Callable[[], None]) -> None:
        self._work = work
        self._log = log
        self._arrived = arrived

    def early(self, objects: Iterable[JobFacts]) -> None:
        """Some of the first list."""
        for facts in objects:
            self._work.job(facts)

    def replace(self, objects: Iterable[JobFacts]) -> None:
        """All there are."""
        there = set()
        for facts in objects:
            there.add(facts.uid)
            self._work.job(facts)
        self._work.jobs_except(there)
        self._arrived()

    def apply(self, obj: JobFacts) -> None:
        """A new or changed one."""
        self._log.note(obj, gone=False)
        self._work.job(obj)

    def delete(self, obj: JobFacts) -> None:
        """One that is gone: as it ended, which may be news."""
        self._log.note(obj, gone=True)
        self._work.job(obj)
        self._work.job_gone(obj.uid)


class Workloads:
    """The stream of Workloads, as ``workload_facts`` reads them."""

    def __init__(self, work: Work, log: Log, arrived: Callable[[], None]) -> None:
        self._work = work
        self._log = log
        self._arrived = arrived

    def early(self, objects: Iterable[WorkloadFacts]) -> None:
        """Some of the first list."""
        for facts in objects:
            self._work.workload(facts)

    def replace(self, objects: Iterable[WorkloadFacts]) -> None:
        """All there are."""
        there = set()
        for facts in objects:
            there.add(facts.uid)
            self._work.workload(facts)
        self._work.workloads_except(there)
        self._arrived()

    def apply(self, obj: WorkloadFacts) -> None:
        """A new or changed one."""
        self._log.note(obj, gone=False)
        self._work.workload(obj)

    def delete(self, obj: WorkloadFacts) -> None:
        """One that is gone: as it ended, which may be news."""
        self._log.note(obj, gone=True)
        self._work.workload(obj)
        self._work.workload_gone(obj.uid)
