"""A job in its queue: its Workload, the admission checks of the places it may go to, what it reserves.

Of the loop's thread alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction

from operators.api.names import ANY
from operators.api.remote_job import Attempt, RemoteJobSpec
from operators.dispatch import checks, status, workload
from operators.dispatch.context import Context
from operators.dispatch.placement import Place, Refused, places, seconds
from operators.dispatch.reading import attempt_of, deleting, is_over, place_of, tenant_of, where
from operators.dispatch.reservations import Reservations
from operators.dispatch.workload import Verdict, Work
from operators.dispatch.writing import JobCache
from operators.kube.errors import Conflict
from operators.queues import BUDGET
from operators.tenancy import Object, namespace_name


class Queueing:
    """Of all RemoteJobs."""

    def __init__(self, context: Context, cache: JobCache) -> None:
        self._context = context
        self._cache = cache
        self._reservations = Reservations(context.accounts, context.clock)

    def begin(self) -> None:
        """Reserve for what was let go, and for nothing else, before anything is judged."""
        self._reservations.empty()
        for uid, obj in self._cache.objects.items():
            found = self._cache.workloads.get(uid)
            work = workload.read(found) if found else None
            if is_over(obj) or not (attempt_of(obj) or (work and BUDGET in work.ready)):
                continue
            try:
                spec = RemoteJobSpec.model_validate(obj["spec"])
                place = place_of(self.places(obj, spec), work)
            except ValueError:
                continue
            if place:
                self._reserve(obj, spec, place)

    def release(self, uid: str) -> None:
        """The job reserves nothing any more."""
        self._reservations.reserve(uid, None)

    def places(self, obj: Object, spec: RemoteJobSpec) -> tuple[Place, ...]:
        """Where it may go. Raises Refused where that is nowhere, for a reason of its own."""
        tenant = tenant_of(obj)
        grants = self._context.allocations.get(tenant)
        if grants is None or namespace_name(tenant) != obj["metadata"]["namespace"]:
            raise Refused("NoPartner", f"namespace {obj['metadata']['namespace']} is no partner's")
        today = datetime.fromtimestamp(self._context.clock(), UTC).date()
        return places(spec, self._context.sites, grants, today)

    def workload(self, obj: Object, spec: RemoteJobSpec, may: tuple[Place, ...]) -> Work | None:
        """See that the job has its Workload, which names the places that it may go to."""
        uid, attempt = obj["metadata"]["uid"], attempt_of(obj)
        found = self._cache.workloads.get(uid)
        if attempt is not None:
            may = tuple(place for place in may if (place.site, place.partition) == where(attempt))
        wanted = self._preferred(obj, spec, may)
        work = workload.read(found) if found else None
        if deleting(obj) or not wanted:
            return work
        if work is not None and self._must_go(work, wanted, may, attempt):
            self._cache.delete_workload(obj, work)
            work = None
        if work is None:
            made = workload.workload(obj, spec.queue, wanted)
            try:
                work = workload.read(self._cache.create_workload(uid, made))
            except Conflict:
                return None  # it is on its way to us, or the one before it is not gone yet
        return work

    def _must_go(
        self, work: Work, wanted: tuple[Place, ...], may: tuple[Place, ...], attempt: Attempt | None
    ) -> bool:
        """Whether the Workload is to be made anew: Kueue called it back, or it names other places."""
        if attempt is not None or work.inactive:
            return False
        if work.evicted:
            return True
        flavors = {place.flavor for place in (may if work.admitted else wanted)}
        if work.flavor:
            return work.flavor not in flavors
        return set(work.candidates) != flavors

    def _preferred(self, obj: Object, spec: RemoteJobSpec, may: tuple[Place, ...]) -> tuple[Place, ...]:
        """Of a job that may go anywhere: the places where nothing holds it, if there are any."""
        if spec.site != ANY or len(may) < 2:
            return may
        free = tuple(
            place
            for place in may
            if all(verdict.ready for verdict in self._verdicts(obj, spec, place).values())
        )
        return free or may

    def check(
        self, obj: Object, spec: RemoteJobSpec, may: tuple[Place, ...], work: Work | None
    ) -> Mapping[str, Verdict]:
        """Tell Kueue what the admission checks say, and reserve what is let go."""
        uid, place, attempt = obj["metadata"]["uid"], place_of(may, work), attempt_of(obj)
        if work is not None and work.admitted and not (work.started or work.finished):
            now = status.time(int(self._context.clock()))
            self._cache.patch_workload(
                self._cache.workloads[uid], workload.started(self._cache.workloads[uid], now)
            )
        if work is None or place is None:
            self._reservations.reserve(uid, None)
            return {}
        found = self._cache.workloads[uid]
        verdicts = self._verdicts(obj, spec, place)
        if attempt is not None:
            verdicts = {name: Verdict(True, "it is on its way") for name in verdicts}
        if attempt is not None or BUDGET in work.ready or verdicts[BUDGET].ready:
            self._reserve(obj, spec, place)
        else:
            self._reservations.reserve(uid, None)
        if not work.admitted and not work.finished:
            patch = workload.judged(found, verdicts, status.time(int(self._context.clock())))
            if patch is not None:
                self._cache.patch_workload(found, patch)
        return verdicts

    def _verdicts(self, obj: Object, spec: RemoteJobSpec, place: Place) -> Mapping[str, Verdict]:
        tenant, context = tenant_of(obj), self._context
        title = context.sites[place.site].title
        account = (tenant, place.site, place.unit)
        trouble = context.accounts.trouble(place.site)
        money = checks.budget(
            place,
            title,
            self._costs(spec, place),
            # What was left before says nothing, and a database that hangs is not asked.
            remaining=None if trouble else self._reservations.left(account),
            reserved=self._reservations.reserved(account, obj["metadata"]["uid"]),
            overdraws=context.sites[place.site].accounting.overdraw,
            trouble=trouble,
        )
        health = context.health.get(place.site, checks.UNKNOWN)
        if health.answers:
            health = context.logins.health(place.site, tenant)
        return checks.verdicts(
            money,
            checks.site_health(title, health, context.maintenance.get(place.site), context.clock()),
        )

    def _costs(self, spec: RemoteJobSpec, place: Place) -> Fraction:
        partition = self._context.sites[place.site].partition(place.partition)
        return checks.estimate(place, partition, seconds(spec.time_limit)) if partition else Fraction(0)

    def _reserve(self, obj: Object, spec: RemoteJobSpec, place: Place) -> None:
        account = (tenant_of(obj), place.site, place.unit)
        self._reservations.reserve(obj["metadata"]["uid"], account, self._costs(spec, place))
