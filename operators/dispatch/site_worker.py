"""A login's worker: the only thread that puts questions and requests to a site's scheduler as that login.

What is to be done is handed over by ``put``; what came of it is handed back by ``tell``, from the worker's
thread. Between tasks the reader's looks at the whole queue now and then, so that following a thousand jobs
costs two questions and not a thousand. A partner's looks at the output of its own jobs and at nothing else:
what keeps one login from working keeps no other.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from operators.api.remote_job import LOG_LENGTH
from operators.dispatch.access import READER
from operators.dispatch.accounts import Accounts
from operators.dispatch.catching_up import SILENCES, CatchingUp
from operators.dispatch.checks import Health
from operators.dispatch.decide import is_over
from operators.dispatch.tasks import (
    Answering,
    Cancel,
    Cancelled,
    Failed,
    Find,
    Found,
    Log,
    Looked,
    NotSent,
    ReadLog,
    Refusal,
    Result,
    Submit,
    Submitted,
    Task,
    rank,
)
from operators.sites.access import (
    Held,
    Lasting,
    Rejected,
    RemoteJobRow,
    Silent,
    SiteAccess,
    SiteError,
    Unclear,
    Unreachable,
)

OVERLAP: Final = 900.0  # seconds that one look at ended jobs reaches back before the one before it, at least
UNNOTICED: Final = 3  # looks in a row that may fail without a silence of the site
SOON: Final = 20.0  # seconds after which a look that failed is repeated
MISSES: Final = 2  # looks that fail one after the other before the site counts as not answering
UNCLEAR_SECONDS: Final = 60.0  # until another try, where a scheduler's words are not known
LOGS: Final = 5  # running jobs whose output is read after one look

_QUEUE: Final = "queue"
_ACCOUNTING: Final = "accounting"

_log = logging.getLogger(__name__)


class SiteWorker:
    """The worker of one login at one site. ``run`` returns after ``stop``; a task under way is finished."""

    def __init__(
        self,
        site: str,
        access: SiteAccess,
        tell: Callable[[Result], None],
        *,
        accounts: Accounts,
        every: float,
        overlap: float = OVERLAP,
        tenant: str = READER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``every`` seconds the reader looks at all jobs, and tells ``accounts`` of them.

        A look at ended jobs reaches back ``overlap`` seconds before the one before it, or more where looks
        are rare.
        """
        self._accounts = accounts
        self._tenant = tenant
        self.site = site
        self.access = access
        self._tell = tell
        self._every = every
        self._overlap = max(overlap, SILENCES * UNNOTICED * every)
        self._catching_up = CatchingUp(self._overlap, frozenset({_QUEUE, _ACCOUNTING}))
        self._clock = clock
        self._tasks: queue.PriorityQueue[tuple[int, int, Task | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._next_look = 0.0
        self._looked: float | None = None
        self._failing: dict[str, int] = {}
        """Looks that failed when they were asked last, and in which turn that was."""
        self._over: set[tuple[int, int]] = set()
        self._misses = 0
        self._trouble = ""
        self._health: Health | None = None
        self._running: list[tuple[str, RemoteJobRow, str]] = []
        self._turns = itertools.count(1)
        self._read: dict[str, int] = {}
        """Of running jobs: at which turn their output was read last."""

    def put(self, task: Task) -> None:
        """Have a task done after those before it, and after those that may not wait."""
        self._tasks.put((rank(task), next(self._order), task))

    def follow(self, running: Iterable[tuple[str, RemoteJobRow, str]]) -> None:
        """Jobs, as (uid, row, directory), whose output is read now and then."""
        self._running = list(running)

    def stop(self) -> None:
        """End after the present task."""
        self._tasks.put((-1, next(self._order), None))

    def run(self, stop: threading.Event) -> None:
        """Work until stopped."""
        try:
            while not stop.is_set():
                due = self._next_look - time.monotonic()
                if due <= 0:
                    self._look()
                    continue
                try:
                    _, _, task = self._tasks.get(timeout=due)
                except queue.Empty:
                    continue
                if task is None:
                    return
                self._tell(self._do(task))
        finally:
            self._hand_back()
            self.access.close()

    def _hand_back(self) -> None:
        """Tell of tasks that were not begun: their jobs would wait for an answer for good."""
        with suppress(queue.Empty):
            while True:
                _, _, task = self._tasks.get_nowait()
                if task is not None:
                    self._tell(_not_begun(task))

    def _do(self, task: Task) -> Result:  # noqa: PLR0911 (one a task and error)
        try:
            match task:
                case Find(uid, attempt, login):
                    asked = self._clock()
                    rows = tuple(self.access.find(attempt.name, attempt.since, login))
                    self._well()
                    return Found(uid, rows, asked)
                case Submit():
                    return self._submit(task)
                case Cancel(uid, row):
                    self.access.cancel(row)
                    return Cancelled(uid, self._clock())
                case ReadLog(uid, row, directory):
                    return Log(uid, self.access.log_tail(row, directory, LOG_LENGTH))
        except Held as held:
            return self._unread(task) or Failed(task.uid, str(held), held.seconds, asked=False)
        except SiteError as error:
            self._badly(error)
            return self._unread(task) or Failed(task.uid, str(error))
        except Exception as error:
            # A worker that ends would leave its site alone until the next start.
            _log.exception("%s: %s", self.site, type(task).__name__)
            return self._unread(task) or Failed(task.uid, f"{type(error).__name__}: {error}")

    def _submit(self, task: Submit) -> Result:
        """Nothing but Rejected, Unreachable and Held says that it was not sent."""
        if not task.still():
            return NotSent(task.uid, task.attempt, "", 0)
        try:
            id = self.access.submit(task.submission)
        except Rejected as error:
            return Refusal(task.uid, task.attempt, str(error), error.lasting, error.seconds)
        except Unclear as error:
            # It works, whatever became of this job: no other waits for it.
            return Refusal(task.uid, task.attempt, str(error), Lasting.UNCLEAR, UNCLEAR_SECONDS)
        except Held as held:
            return NotSent(task.uid, task.attempt, str(held), held.seconds)
        except Unreachable as error:
            self._badly(error)
            return NotSent(task.uid, task.attempt, str(error))
        return Submitted(task.uid, task.attempt, id)

    @staticmethod
    def _unread(task: Task) -> Log | None:
        """An output that cannot be read holds nothing up."""
        return Log(task.uid, b"") if isinstance(task, ReadLog) else None

    def _look(self) -> None:
        """At what there is to look at, with the output of some jobs that run."""
        pause = self._look_at_jobs() if self._tenant == READER else self._look_at_login()
        for uid, row, directory in self._next_to_read():
            result = self._do(ReadLog(uid, row, directory))
            if isinstance(result, Log) and result.output:
                self._tell(result)
        # Only now: what a look takes is not taken from what waits to be done between two.
        self._next_look = time.monotonic() + pause

    def _next_to_read(self) -> list[tuple[str, RemoteJobRow, str]]:
        """Of the jobs that run those whose output was read the longest ago, or never."""
        running, self._running = self._running, []
        chosen = sorted(running, key=lambda one: self._read.get(one[0], 0))[:LOGS]
        turn = next(self._turns)
        self._read = {uid: turns for uid, *_ in running if (turns := self._read.get(uid))}
        self._read |= {uid: turn for uid, *_ in chosen}
        return chosen

    def _look_at_login(self) -> float:
        """Whether one that did not work does again: jobs wait for it, so nothing else would show it."""
        if self._health is None or self._health.answers:
            return self._every
        try:
            self.access.check()
        except Held as held:
            return max(1.0, held.seconds)
        except Exception as error:
            if not isinstance(error, SiteError):
                _log.exception("%s: %s", self.site, self._tenant)
            self._badly(SiteError(str(error) or type(error).__name__))
            return min(self._every, SOON)
        self._well()
        return self._every

    def _look_at_jobs(self) -> float:
        """At the queue and at the accounting: where one does not answer the other is of use all the same.

        The seconds until the next look.
        """
        pause, answered = self._every, False
        failure: SiteError | None = None
        # A site that fails is asked one question now and then. Were it the same one each time, a scheduler
        # that is down would keep the accounting from being read, and the other way round.
        looks = (self._look_at_queue, self._look_at_accounting)
        for look in sorted(looks, key=lambda look: self._failing.get(look.__name__, 0)):
            try:
                look()
                answered = True
                self._failing.pop(look.__name__, None)
            except Held as held:
                pause = min(pause, max(1.0, held.seconds))
                if isinstance(held, Silent):
                    # A site that cannot be asked for its silence is as silent as before.
                    failure = failure or held
            except Exception as error:
                if not isinstance(error, SiteError):
                    _log.exception("%s: %s", self.site, look.__name__)
                failure = failure or SiteError(str(error) or type(error).__name__)
                self._failing[look.__name__] = next(self._turns)
        if failure:
            self._badly(failure)
            pause = min(pause, SOON)
        elif not self._failing:
            self._well()
        if answered:
            self._count_what_is_granted()
        return pause

    def _count_what_is_granted(self) -> None:
        """Budgets may be older for once; a worker that ends would leave its site alone."""
        try:
            self._accounts.looked(self.site, self.access)
        except Exception:
            _log.exception("%s: what is granted there could not be looked at", self.site)

    def _look_at_queue(self) -> None:
        asked = self._clock()
        # A job whose end the accounting has told may be in the queue a while longer.
        rows = tuple(row for row in self.access.queue() if (row.id, row.submitted) not in self._over)
        # How a job has ended is told by the accounting; that it has, to the accounts, by whoever tells first.
        self._tell(Looked(self.site, tuple(row for row in rows if not is_over(row)), asked))
        self._accounts.queued(self.site, rows)
        self._note(_QUEUE, asked)

    def _look_at_accounting(self) -> None:
        asked = self._clock()
        # What was read and could not be written has to be read again: the accounts know how far they are.
        known = self._accounts.since(self.site)
        since = next((at for at in (known, self._looked) if at is not None), asked)
        rows = tuple(self.access.ended(int(since - self._overlap)))
        self._looked = asked
        self._over = {(row.id, row.submitted) for row in rows}
        self._tell(Looked(self.site, tuple(row for row in rows if is_over(row)), asked))
        # What it has not been told of yet is asked for again, from where this look began.
        until = known if known is None or not self._catching_up.over(asked) else int(asked)
        self._accounts.ended(self.site, rows, until)
        self._note(_ACCOUNTING, asked)

    def _note(self, source: str, asked: float) -> None:
        """It has answered, which counts once it is written: no single answer is all that tells of a time.

        Where its own database fails slurmdbd, it answers with nothing, and no error.
        """
        if not self._accounts.trouble(self.site):
            self._catching_up.answered(source, asked)

    def _well(self) -> None:
        self._misses = 0
        self._trouble = ""
        self._say(Health(True, "answers"))

    def _badly(self, error: SiteError) -> None:
        self._misses += 1
        if not isinstance(error, Silent) or not self._trouble:
            self._trouble = str(error)  # the cause, and not that it is waited for
        if self._misses >= MISSES or self._health is None:
            whom = "" if self._tenant == READER else f" {self._tenant}'s login"
            self._say(Health(False, f"does not answer{whom}: {self._trouble}"))
            if whom:
                self._next_look = min(self._next_look, time.monotonic() + min(self._every, SOON))

    def _say(self, health: Health) -> None:
        if health != self._health:
            self._health = health
            _log.info("%s %s", " ".join(filter(None, (self.site, self._tenant))), health.message)
            self._tell(Answering(self.site, health, self._tenant))


def _not_begun(task: Task) -> Result:
    why = "its site or its login has changed meanwhile"
    if isinstance(task, Submit):
        return NotSent(task.uid, task.attempt, why, 1)
    return Failed(task.uid, why, 1, asked=False)
