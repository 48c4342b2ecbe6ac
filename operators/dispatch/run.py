"""The dispatch as it runs: streams and workers put what happens into one inbox, one thread acts on it.

A worker a login talks to that login's site; leadership by a Lease decides which process acts at all. One
that does not lead keeps its view up to date, asks no site anything and writes nothing.
"""

from __future__ import annotations

import heapq
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from operators.dispatch.access import READER, Logins
from operators.dispatch.accounts import Accounts
from operators.dispatch.checks import Health
from operators.dispatch.context import Context
from operators.dispatch.decide import NAME_PREFIX, Bounds
from operators.dispatch.declared import Declared
from operators.dispatch.feed import Change, Listing, streams
from operators.dispatch.jobs import Jobs
from operators.dispatch.kinds import Kinds
from operators.dispatch.known_logins import KnownLogins
from operators.dispatch.lease import Leadership
from operators.dispatch.site_worker import OVERLAP, SiteWorker
from operators.dispatch.tasks import Answering, Looked, Result, Seen, Task
from operators.dispatch.workload import JOB_LABEL
from operators.kube.client import Cluster
from operators.kube.errors import Conflict, KubernetesError, NotFound
from operators.manifests import LEASE
from operators.sites.access import RemoteJobRow
from operators.sites.model import Site
from operators.stream.reflector import Reflector
from operators.tenancy import Object

RETRY: Final = 2.0  # seconds after a write that failed
CHECK: Final = 20.0  # seconds between two looks at the admission checks, and at all jobs that are held
SOON: Final = 1.0

Login = tuple[str, str]
"""A site, and the partner whose login it is there, or READER."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the dispatch runs. ``identity`` tells this process from every other that could lead."""

    namespace: str
    identity: str
    bounds: Bounds = field(default_factory=Bounds)
    look_every: float | None = None
    """Seconds between two looks at a site's whole queue; None: the site's own floor."""
    overlap: float = OVERLAP
    """Seconds that a look at a site's accounting reaches back before the one before it."""
    lease_seconds: int = 90
    renew_seconds: float = 10.0


class Dispatch:
    """All of it. ``run`` returns after ``stop`` is set."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        *,
        access: Logins,
        accounts: Accounts,
        failed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``access`` opens a site's scheduler as each partner's login there, and as the reader's."""
        self._cluster = cluster
        self._settings = settings
        self._access = access
        self._accounts = accounts
        self._failed = failed
        self._clock = clock
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._declared = Declared()
        self._kinds = Kinds(cluster, clock)
        self._configured = False
        self._health: dict[str, Health] = {}
        self._logins = KnownLogins(access, self._declared.sites, self._declared.partners, clock)
        self._wanted: dict[Login, tuple[Site, tuple[str, ...]]] = {}
        self._workers: dict[Login, tuple[tuple[Site, tuple[str, ...]], SiteWorker]] = {}
        self._due: list[tuple[float, str]] = []
        self._dirty: set[str] = set()
        self._leads = False
        self._next_check = 0.0
        self._stop = threading.Event()
        self._leadership = Leadership(
            cluster,
            LEASE,
            settings.namespace,
            settings.identity,
            duration=settings.lease_seconds,
            renew=settings.renew_seconds,
        )
        self.jobs = Jobs(
            Context(
                cluster=cluster,
                clock=clock,
                bounds=settings.bounds,
                accounts=accounts,
                may_send=lambda: self._leadership.holds(settings.bounds.sending),
                writer=lambda: self._leadership.writer,
                sites=self._declared.sites,
                allocations=self._declared.allocations,
                health=self._health,
                maintenance=self._declared.maintenance,
                logins=self._logins,
                ask=self._ask,
            )
        )
        lock = threading.RLock()
        self._reflectors = [Reflector(cluster, stream, lock) for stream in streams(self._inbox)]

    def run(self, stop: threading.Event) -> None:
        """Dispatch until told to end."""
        threads = [
            threading.Thread(target=reflector.run, name=reflector.source.name, daemon=True)
            for reflector in self._reflectors
        ]
        leading = threading.Thread(target=self._leadership.run, args=(stop,), name="lease", daemon=True)
        for thread in (*threads, leading):
            thread.start()
        try:
            while not stop.is_set():
                self._take_in()
                self._lead()
                if self._leads:
                    self._act()
        finally:
            for reflector in self._reflectors:
                reflector.stop()
            self._stop.set()
            self._end_workers()
            leading.join(5)

    # What happens

    def _take_in(self) -> None:
        """Wait for something to happen, and take all in that has."""
        now = time.monotonic()
        wait = SOON if not self._due else min(SOON, max(0.0, self._due[0][0] - now))
        try:
            happened = self._inbox.get(timeout=0 if self._dirty and self._leads else wait)
        except queue.Empty:
            return
        while True:
            self._happened(happened)
            try:
                happened = self._inbox.get_nowait()
            except queue.Empty:
                return

    def _happened(self, what: Any) -> None:
        match what:
            case Listing(source, objects):
                self._replace(source, objects)
            case Change(source, obj, gone):
                self._changed(source, obj, gone)
            case _ if self._leads:
                self._result(what)

    def _replace(self, source: str, objects: tuple[Object, ...]) -> None:
        """What is not listed any more is gone."""
        before: dict[str, dict[str, Object]] = {
            "remotejobs": self.jobs.objects,
            "workloads": self.jobs.workloads,
            "remotesites": self._declared.site_objects,
            "tenants": self._declared.tenant_objects,
        }
        listed = {obj["metadata"]["uid"] for obj in objects}
        for obj in list(before.get(source, {}).values()):
            if obj["metadata"]["uid"] not in listed:
                self._changed(source, obj, gone=True)
        for obj in objects:
            self._changed(source, obj, gone=False)

    def _changed(self, source: str, obj: Object, gone: bool) -> None:
        metadata = obj["metadata"]
        match source:
            case "remotejobs":
                if gone:
                    self.jobs.drop(metadata["uid"])
                elif _is_newer(obj, self.jobs.objects.get(metadata["uid"])):
                    self.jobs.objects[metadata["uid"]] = obj
                    self._dirty.add(metadata["uid"])
            case "workloads":
                uid = metadata["labels"][JOB_LABEL]
                known = self.jobs.workloads.get(uid)
                same = known is not None and known["metadata"]["uid"] == metadata["uid"]
                if gone and same:
                    del self.jobs.workloads[uid]
                elif not gone and not metadata.get("deletionTimestamp") and _is_newer(obj, known):
                    self.jobs.workloads[uid] = obj
                self._dirty.add(uid)
            case "tenants":
                self._redeclared(self._declared.tenant(obj, gone))
            case "remotesites":
                self._redeclared(self._declared.site(obj, gone))

    def _redeclared(self, differs: bool) -> None:
        if differs:
            self._configured = False
            self._next_check = 0.0
            self._dirty |= self.jobs.objects.keys()

    def _result(self, result: Result) -> None:
        """What came of a task, or of a look at a site."""
        jobs = self.jobs
        match result:
            case Looked(site, rows, asked):
                self._looked(site, rows, asked)
                return
            case Answering(site, health, tenant):
                if tenant == READER:
                    self._health[site] = health
                else:
                    self._logins.tell(site, tenant, health)
                self._next_check = 0.0
                self._dirty |= jobs.objects.keys()
                return
        self._dirty.add(result.uid)
        try:
            jobs.happened(result)
        except KubernetesError as error:
            _log.warning("%s: %s", result.uid, error)

    def _looked(self, site: str, rows: tuple[RemoteJobRow, ...], asked: float) -> None:
        by_uid: defaultdict[str, list[RemoteJobRow]] = defaultdict(list)
        for row in rows:
            if row.name.startswith(NAME_PREFIX):
                by_uid[row.name.removeprefix(NAME_PREFIX)].append(row)
        for uid, found in by_uid.items():
            if self.jobs.is_sent_to(uid, site):
                self.jobs.happened(Seen(uid, tuple(found), asked))
                self._dirty.add(uid)
        for tenant, running in self.jobs.running(site).items():
            if worker := self._worker((site, tenant)):
                worker.follow(running)

    # What is done

    def _lead(self) -> None:
        """Begin to act when this process leads and knows all there is; stop when it no longer leads."""
        leads = self._leadership.holds() and all(one.health.listed for one in self._reflectors)
        if leads and not self._leads:
            _log.info("leading as %s", self._leadership.writer)
            self.jobs.begin()
            self._health.clear()
            self._logins.clear()
            self._dirty |= self.jobs.objects.keys()
            self._next_check = 0.0
        elif self._leads and not leads:
            _log.warning("leading no more")
            self._end_workers()
        self._leads = leads

    def _act(self) -> None:
        self._staff()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._dirty.add(heapq.heappop(self._due)[1])
        if now >= self._next_check:
            asked = {site: self._partners(site) for site, tenant in self._wanted if tenant == READER}
            settled = self._kinds.keep(self._declared, self._health, asked, self._logins)
            self._next_check = now + (CHECK if settled else RETRY)
            self._dirty |= self.jobs.objects.keys()
        batch, self._dirty = self._dirty | self.jobs.in_turn(), set()
        for uid in sorted(batch, key=self._age):
            if uid in self.jobs.objects:
                self._look(uid)

    def _age(self, uid: str) -> str:
        obj = self.jobs.objects.get(uid)
        return str(obj["metadata"].get("creationTimestamp", "")) if obj else ""

    def _look(self, uid: str) -> None:
        try:
            until = self.jobs.look(uid)
        except (Conflict, NotFound):
            # Somebody has changed it meanwhile: that is on its way to us.
            self._again(uid, SOON)
        except Exception as error:
            # One job that cannot be handled must not end the others' turn.
            self._failed()
            known = isinstance(error, KubernetesError)
            _log.error("RemoteJob %s: %s", uid, error, exc_info=None if known else error)
            self._again(uid, RETRY)
        else:
            if until is not None:
                self._again(uid, max(0.05, until - self._clock()))

    def _again(self, uid: str, seconds: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, uid))

    def _ask(self, site: str, tenant: str, task: Task) -> bool:
        worker = self._worker((site, tenant))
        if worker is None:
            return False
        worker.put(task)
        return True

    def _staff(self) -> None:
        """See who is to work where: a reader for each site as it is declared now, and partners' logins there.

        A login has its worker, and the site a connection more, from when there is something to do for it.
        """
        if not self._configured:
            self._accounts.configure(self._declared.sites.values(), self._declared.partners.values())
            self._configured = True
        self._wanted = self._all_wanted()
        for login, (declared, worker) in list(self._workers.items()):
            wanted = self._wanted.get(login)
            if wanted is None or wanted[0] != declared[0]:
                self._dismiss(login)
            elif wanted != declared:
                # The connection stays: who connects anew with every change is shut out.
                worker.access.serve(wanted[1])
                self._workers[login] = (wanted, worker)
        for login in self._wanted:
            if login[1] == READER:
                self._worker(login)

    def _all_wanted(self) -> dict[Login, tuple[Site, tuple[str, ...]]]:
        """The site and the projects of each login. Where nobody has a project there is nothing to ask."""
        wanted: dict[Login, tuple[Site, tuple[str, ...]]] = {}
        for name, site in self._declared.sites.items():
            projects: defaultdict[str, set[str]] = defaultdict(set)
            for tenant, project in self._declared.projects(name) | self.jobs.projects(name):
                projects[tenant].add(project)
                projects[READER].add(project)
            wanted |= {(name, whose): (site, tuple(sorted(theirs))) for whose, theirs in projects.items()}
        return wanted

    def _worker(self, login: Login) -> SiteWorker | None:
        """A login's worker, which begins to work now if it has not; None where nobody is to work."""
        if login in self._workers:
            return self._workers[login][1]
        if login not in self._wanted:
            return None
        (name, tenant), (site, projects) = login, self._wanted[login]
        worker = SiteWorker(
            name,
            self._access.open(site, tenant, projects),
            self._inbox.put,
            accounts=self._accounts,
            every=self._settings.look_every or site.access.poll_floor_seconds,
            overlap=self._settings.overlap,
            tenant=tenant,
            clock=self._clock,
        )
        self._workers[login] = (self._wanted[login], worker)
        thread = " ".join(filter(None, ("site", name, tenant)))
        threading.Thread(target=worker.run, args=(self._stop,), name=thread, daemon=True).start()
        return worker

    def _dismiss(self, login: Login) -> None:
        self._workers.pop(login)[1].stop()
        if login[1] == READER:
            self._health.pop(login[0], None)
        else:
            self._logins.tell(*login, None)

    def _partners(self, site: str) -> list[str]:
        return sorted({tenant for tenant, _ in self._declared.projects(site)})

    def _end_workers(self) -> None:
        for _, worker in self._workers.values():
            worker.stop()
        self._workers.clear()


def _is_newer(obj: Object, known: Object | None) -> bool:
    """Whether an object is not older than the one that is known: our own writes come back late."""
    if known is None or known["metadata"]["uid"] != obj["metadata"]["uid"]:
        return True
    return int(obj["metadata"]["resourceVersion"]) >= int(known["metadata"]["resourceVersion"])
