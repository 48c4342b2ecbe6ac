"""One look at a RemoteJob: what is read of it, what is decided and written, what its site is asked.

Of the loop's thread alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import ValidationError

from operators.admission.rows import KEPT_SECONDS
from operators.api.remote_job import Attempt, RemoteJobSpec
from operators.dispatch import status
from operators.dispatch.access import READER
from operators.dispatch.context import Context
from operators.dispatch.decide import (
    Action,
    Ask,
    CallOff,
    End,
    Fail,
    Hold,
    Intend,
    LetGo,
    Note,
    Observed,
    Rest,
    Send,
    Stop,
    decide,
    in_time,
)
from operators.dispatch.gates import Gates
from operators.dispatch.observe import CalledOff, Intended, Sending, after
from operators.dispatch.placement import Place, Refused
from operators.dispatch.queueing import Queueing
from operators.dispatch.reading import (
    FINALIZER,
    attempt_of,
    deleting,
    ended,
    is_over,
    job_of,
    place_of,
    rows_of,
    status_of,
    submission_of,
    tenant_of,
    title_of,
    where,
)
from operators.dispatch.submission_slots import SubmissionSlots
from operators.dispatch.tasks import (
    Cancel,
    Failed,
    Find,
    Found,
    Log,
    NotSent,
    OfJob,
    ReadLog,
    Refusal,
    Seen,
    Submit,
    Submitted,
    Task,
)
from operators.dispatch.workload import Verdict, Work
from operators.dispatch.writing import JobCache
from operators.sites.access import RemoteJobRow
from operators.tenancy import Object

STEPS: Final = 12  # of one look: a bound on what can follow from each other
FULL: Final = 15.0  # seconds until a full partition is looked at again
IN_HAND: Final = 4  # jobs of a login that are being sent: each is begun in its time (``Bounds.window``)

_log = logging.getLogger(__name__)


@dataclass
class Memory:
    """What this process knows of a job besides its objects."""

    told: Observed = field(default_factory=Observed)
    busy: bool = False
    """A task of it is with the site's worker."""
    sending: bool = False
    """And that is its submission."""
    log: bytes | None = None
    trouble: str = ""


class Jobs:
    """All RemoteJobs, looked at one after the other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cache = JobCache(context.cluster, context.clock)
        self.objects = self._cache.objects
        self.workloads = self._cache.workloads
        self.memory: dict[str, Memory] = {}
        self._queueing = Queueing(context, self._cache)
        self._began = 0.0
        self._slots = SubmissionSlots(IN_HAND, self._is_being_sent)
        self._gates = Gates()

    def begin(self) -> None:
        """Begin to lead. Another process may have acted: nothing that this one remembers counts any more.

        What was let go is reserved before anything else is judged.
        """
        self.memory.clear()
        self._slots.clear()
        self._gates.clear()
        self._began = self._context.clock()
        self._queueing.begin()

    def drop(self, uid: str) -> None:
        """A RemoteJob is gone."""
        self.objects.pop(uid, None)
        self.memory.pop(uid, None)
        self._queueing.release(uid)
        self._slots.leave(uid)

    def in_turn(self) -> set[str]:
        """Jobs that waited until others were sent, and may go now."""
        return self._slots.next()

    def projects(self, site: str) -> set[tuple[str, str]]:
        """(tenant, project) of what is on its way to the site or there, granted (still) or not."""
        found = set()
        for obj in self.objects.values():
            attempt = status_of(obj).get("attempt")
            if attempt and attempt["site"] == site and not is_over(obj):
                found.add((tenant_of(obj), attempt["project"]))
        return found

    def is_sent_to(self, uid: str, site: str) -> bool:
        """Whether that site is the one that has the job, or may have it."""
        attempt = attempt_of(self.objects[uid]) if uid in self.objects else None
        return attempt is not None and attempt.site == site

    def running(self, site: str) -> dict[str, list[tuple[str, RemoteJobRow, str]]]:
        """Jobs of a site that run, with their rows and directories, by who reads their growing output."""
        found: dict[str, list[tuple[str, RemoteJobRow, str]]] = {}
        for uid, memory in self.memory.items():
            if not memory.told.answer or uid not in self.objects:
                continue
            attempt = attempt_of(self.objects[uid])
            if attempt is None or attempt.site != site or memory.busy:
                continue
            rows = [row for row in memory.told.answer.rows if row.state == "running"]
            whose = self._whose(self.objects[uid], attempt)
            if rows and whose is not None:
                directory = self.objects[uid]["spec"].get("directory") or ""
                found.setdefault(whose, []).extend((uid, row, directory) for row in rows)
        return found

    def look(self, uid: str) -> float | None:
        """Do what is to be done now; when to look again if nothing happens. Raises KubernetesError."""
        obj = self.objects[uid]
        memory = self.memory.setdefault(uid, Memory(Observed(since=self._began)))
        if is_over(obj):
            self._queueing.release(uid)
            self._cache.finish_workload(obj)
            if FINALIZER in obj["metadata"].get("finalizers", ()):
                self._cache.set_finalizers(obj, on=False)
            self._leave(obj)
            return None  # all are looked at now and then
        try:
            spec = RemoteJobSpec.model_validate(obj["spec"])
            may = self._queueing.places(obj, spec)
        except ValidationError as error:
            refusal = Refused("Invalid", "; ".join(e["msg"] for e in error.errors()))
            self._refuse(obj, refusal)
            return None
        except Refused as refusal:
            if attempt_of(obj) is None and not deleting(obj):
                self._refuse(obj, refusal)
                return None
            spec, may = RemoteJobSpec.model_validate(obj["spec"]), ()
        work = self._queueing.workload(obj, spec, may)
        verdicts = self._queueing.check(obj, spec, may, work)
        return self._dispatch(obj, spec, may, work=work, verdicts=verdicts, memory=memory)

    def _leave(self, obj: Object) -> None:
        """Delete a job that has been over for long enough. Its figures are in the ledger."""
        if ended(obj) + KEPT_SECONDS <= self._context.clock() and not deleting(obj):
            self._cache.delete(obj)

    # The site

    def _dispatch(
        self,
        obj: Object,
        spec: RemoteJobSpec,
        may: tuple[Place, ...],
        *,
        work: Work | None,
        verdicts: Mapping[str, Verdict],
        memory: Memory,
    ) -> float | None:
        """Carry out what is decided, until the site has to be asked or there is nothing left to do."""
        context, uid = self._context, obj["metadata"]["uid"]
        until: float | None = None
        for _ in range(STEPS):
            now, obj = context.clock(), self.objects[uid]
            job = job_of(obj, may, work)
            action = decide(job, memory.told, now, context.bounds)
            if isinstance(action, Rest) or memory.busy:
                until = action.until if isinstance(action, Rest) else None
                break
            if isinstance(action, Intend):
                tenant, site = tenant_of(obj), action.attempt.site
                login = context.logins.name(site, tenant)
                if not login:
                    memory.trouble = context.logins.health(site, tenant).message
                    break
                # Nothing was sent for it, whoever was to: a login that has changed meanwhile is taken now.
                action = Intend(action.attempt.model_copy(update={"login": login}))
                if full := self._full(action.attempt, uid, now):
                    until, memory.trouble = full
                    break
                if not self._slots.take(f"{site}/{tenant}", uid):
                    break
            if not self._carry_out(action, obj, spec, memory):
                break
            if isinstance(action, LetGo):
                return None
        self._tell_how_it_stands(uid, may, work, verdicts, memory)
        return until

    def _carry_out(self, action: Action, obj: Object, spec: RemoteJobSpec, memory: Memory) -> bool:  # noqa: PLR0911
        """Whether there may be more to do at once."""
        uid = obj["metadata"]["uid"]
        match action:
            case Hold():
                self._cache.set_finalizers(obj, on=True)
                return True
            case LetGo():
                self._cache.set_finalizers(obj, on=False)
                return True
            case Intend(attempt):
                written = attempt.model_copy(update={"writer": self._context.writer()})
                self._cache.patch_status(obj, status.attempted(written))
                memory.told = self._after(memory, Intended(written.asks))
                _log.info("%s: to be submitted as %s (%d)", title_of(obj), attempt.name, attempt.asks)
                return True
            case CallOff():
                self._cache.patch_status(obj, status.attempted(None))
                memory.told = self._after(memory, CalledOff())
                return True
            case Ask(attempt):
                urgent = memory.told.unsent == attempt.asks
                login = attempt.login or self._context.logins.name(attempt.site)
                return self._ask(obj, attempt, Find(uid, attempt, login, urgent), memory)
            case Send(attempt):
                return self._send(obj, spec, attempt, memory)
            case Stop(row):
                _log.info("%s: cancelling %d", title_of(obj), row.id)
                known = attempt_of(obj)
                return known is not None and self._ask(obj, known, Cancel(uid, row), memory)
            case Note(row):
                return self._note(obj, row)
            case End(row):
                return self._end(obj, spec, row, memory)
            case Fail(message):
                generation, now = obj["metadata"].get("generation", 0), self._context.clock()
                end = status.rejected(message, status_of(obj), generation, now)
                self._cache.patch_status(obj, end)
                return True
            case Rest():
                return False

    def _ask(self, obj: Object, attempt: Attempt, task: Task, memory: Memory) -> bool:
        """Hand a task over; what comes of it is the next thing that happens to the job."""
        whose = self._whose(obj, attempt)
        if whose is None:
            memory.trouble = f"its login {attempt.login} is not among the credentials any more"
        memory.busy = whose is not None and self._context.ask(attempt.site, whose, task)
        return False

    def _whose(self, obj: Object, attempt: Attempt) -> str | None:
        """Whose worker acts as the attempt's login; None: nobody's now.

        No other login will do: a site may show each only its own jobs, and who cannot see one would say
        that there is none.
        """
        tenant = tenant_of(obj)
        if not attempt.login:
            return READER
        return tenant if attempt.login == self._context.logins.name(attempt.site, tenant) else None

    def _send(self, obj: Object, spec: RemoteJobSpec, attempt: Attempt, memory: Memory) -> bool:
        try:
            may = self._queueing.places(obj, spec)
        except Refused:
            may = ()
        place = next((p for p in may if (p.site, p.partition) == where(attempt)), None)
        if place is None:
            # Its project has ended, or the partition is gone: nothing was sent, and nothing will be.
            return self._carry_out(CallOff(), obj, spec, memory)
        if not self._context.may_send():
            return False
        context = self._context
        before = memory.told
        memory.told = self._after(memory, Sending())
        submission = submission_of(obj, spec, attempt, place)

        def still() -> bool:
            return context.may_send() and in_time(attempt, context.clock(), context.bounds)

        uid = obj["metadata"]["uid"]
        _log.info("%s: submitting to %s %s", title_of(obj), attempt.site, attempt.partition)
        self._ask(obj, attempt, Submit(uid, attempt, submission, still), memory)
        memory.sending = memory.busy
        if not memory.busy:
            memory.told = before  # nobody was there to be handed it
        return False

    def _note(self, obj: Object, row: RemoteJobRow) -> bool:
        attempt = attempt_of(obj)
        if attempt is None:
            return False
        if attempt.id is None:
            _log.info("%s: is %d at %s", title_of(obj), row.id, attempt.site)
        adopted = attempt.model_copy(update={"id": row.id, "submitted": row.submitted})
        self._cache.patch_status(obj, {**self._row_status(obj, attempt, row), **status.attempted(adopted)})
        return attempt.id is None

    def _end(self, obj: Object, spec: RemoteJobSpec, row: RemoteJobRow, memory: Memory) -> bool:
        attempt = attempt_of(obj)
        if attempt is None:
            return False
        if memory.log is None:
            task = ReadLog(obj["metadata"]["uid"], row, spec.directory or "")
            if self._whose(obj, attempt) is not None:
                return self._ask(obj, attempt, task, memory)
            memory.log = b""  # that it cannot be read holds nothing up
        _log.info("%s: %d has ended at %s: %s", title_of(obj), row.id, attempt.site, row.raw_state)
        said = {**self._row_status(obj, attempt, row), **status.log_tail(memory.log)}
        self._cache.patch_status(obj, {**said, **status.attempted(attempt)})
        self._queueing.release(obj["metadata"]["uid"])
        self._cache.finish_workload(self.objects[obj["metadata"]["uid"]])
        return True

    def _row_status(self, obj: Object, attempt: Attempt, row: RemoteJobRow) -> Object:
        site = self._context.sites.get(attempt.site)
        title = site.title if site else attempt.site
        generation = obj["metadata"].get("generation", 0)
        return status.at_site(row, title, status_of(obj), generation, self._context.clock())

    def _is_being_sent(self, uid: str) -> bool:
        attempt = attempt_of(self.objects[uid]) if uid in self.objects else None
        memory = self.memory.get(uid)
        if attempt is None or attempt.id is not None or memory is None:
            return False
        # One that is refused takes nobody's turn while it waits.
        waits = memory.told.rejection and memory.told.not_before > self._context.clock()
        return memory.sending or (memory.told.unsent == attempt.asks and not waits)

    def _full(self, attempt: Attempt, uid: str, now: float) -> tuple[float, str] | None:
        """Until when, and why, the site would not take one more of this login; None while it would."""
        if shut := self._gates.shut(attempt, now):
            return shut
        site = self._context.sites.get(attempt.site)
        partition = site.partition(attempt.partition) if site else None
        if site is None or partition is None or partition.max_jobs is None:
            return None
        wanted, there = (attempt.site, attempt.partition, attempt.login), 0
        for other, obj in self.objects.items():
            one = status_of(obj).get("attempt")
            if other != uid and one and not is_over(obj):
                there += (one["site"], one["partition"], one.get("login", "")) == wanted
        if there < partition.max_jobs:
            return None
        return now + FULL, f"{site.title} takes {partition.max_jobs} jobs of {partition.name} at a time"

    # What comes back

    def happened(self, what: OfJob) -> None:
        """What came of a task, or of a look. Raises KubernetesError; then it is found by its name."""
        memory = self.memory.get(what.uid)
        if isinstance(what, Found | Seen):
            what = self._of_its_own(what)
        if memory is None:
            return
        memory.told = self._after(memory, what)
        if isinstance(what, Log):
            self._logged(what, memory)
        if isinstance(what, Log | Seen):
            return
        memory.busy, memory.sending = False, False
        memory.trouble = what.why if isinstance(what, NotSent | Failed) else ""
        match what:
            case Submitted(uid, attempt, id):
                self._submitted(uid, attempt, id)
            case Refusal():
                self._gates.refused(what, memory.told.not_before)

    def _logged(self, what: Log, memory: Memory) -> None:
        """The end of its output; it is written with the job's end, or at once while it runs."""
        obj = self.objects.get(what.uid)
        if memory.busy:
            memory.busy, memory.log = False, what.output
        elif obj is not None and not is_over(obj):
            self._cache.patch_status(obj, status.log_tail(what.output))

    def _after(self, memory: Memory, what: OfJob | Intended | Sending | CalledOff) -> Observed:
        return after(memory.told, what, self._context.clock(), self._context.bounds.silence)

    def _of_its_own(self, what: Found | Seen) -> Found | Seen | Failed:
        """The answer, with the job's own rows alone; a failure where none can be told."""
        ours = self._ours(what.uid, what.rows)
        if ours is None and isinstance(what, Found):
            return Failed(what.uid, "a job of its name and login is in another project or partition")
        return replace(what, rows=ours or ())

    def _ours(self, uid: str, rows: tuple[RemoteJobRow, ...]) -> tuple[RemoteJobRow, ...] | None:
        """Of rows that carry its name those that are its own; here alone rows come in.

        None: there is one that its login has elsewhere than where it was sent. That is no proof that there
        is none: somebody may have moved it.
        """
        attempt = attempt_of(self.objects[uid]) if uid in self.objects else None
        if attempt is None:
            return ()
        reader = self._context.logins.name(attempt.site)
        ours = rows_of(attempt, rows, reader)
        elsewhere = [row for row in rows if row.user == (attempt.login or reader) and row not in ours]
        if elsewhere:
            where_ = ", ".join(f"{row.id} in {row.project} {row.partition}" for row in elsewhere[:3])
            _log.warning("%s: passed over: %s", title_of(self.objects[uid]), where_)
        return ours if ours or not elsewhere else None

    def _submitted(self, uid: str, attempt: Attempt, id: int) -> None:
        """The site has taken it under this id."""
        obj = self.objects.get(uid)
        if obj is None or attempt_of(obj) != attempt:
            return
        _log.info("%s: is %d at %s", title_of(obj), id, attempt.site)
        known = attempt.model_copy(update={"id": id})
        generation, now = obj["metadata"].get("generation", 0), self._context.clock()
        said = {"Submitted": (True, "Submitted", f"{attempt.site} has it as {id}")}
        self._cache.patch_status(
            obj,
            {
                **status.attempted(known),
                "slurmId": id,
                "reason": "Submitted",
                "message": f"{attempt.site} has it",
                "conditions": status.conditions(status_of(obj), said, generation, now),
            },
        )

    # Writing

    def _tell_how_it_stands(
        self,
        uid: str,
        may: tuple[Place, ...],
        work: Work | None,
        verdicts: Mapping[str, Verdict],
        memory: Memory,
    ) -> None:
        obj = self.objects[uid]
        attempt = attempt_of(obj)
        if is_over(obj) or deleting(obj) or (attempt and attempt.id is not None):
            return
        job = job_of(obj, may, work)
        place = job.place or place_of(may, work)
        site = self._context.sites.get(place.site) if place else None
        title = site.title if site else "the site"
        known = status.Known(job, place, memory.told, work, verdicts, title, memory.trouble)
        generation, now = obj["metadata"].get("generation", 0), self._context.clock()
        self._cache.patch_status(obj, status.waiting(known, status_of(obj), generation, now))

    def _refuse(self, obj: Object, refusal: Refused) -> None:
        _log.info("%s: refused: %s", title_of(obj), refusal)
        generation = obj["metadata"].get("generation", 0)
        self._cache.patch_status(
            obj, status.refused(refusal, status_of(obj), generation, self._context.clock())
        )
