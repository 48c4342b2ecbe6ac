"""Access to a remote Slurm site over SSH: ``SiteAccess``, with a floor, a breaker and few connections."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from operators.sites.access import (
    Granted,
    Held,
    NodeRow,
    Rejected,
    RemoteJobRow,
    Silent,
    SiteError,
    Submission,
    Uncertain,
    Unclear,
    Unreachable,
)
from operators.sites.model import Site
from operators.sites.slurm import commands, parse
from operators.sites.slurm.answers import Answer, Garbled, Part, parse_answer
from operators.sites.slurm.breaker import Breaker
from operators.sites.slurm.budgets import parse_granted
from operators.sites.slurm.commands import Command
from operators.sites.slurm.continuity import Continuity
from operators.sites.slurm.polling import Connections, Floor, Origin
from operators.sites.slurm.refusals import answered, refusal
from operators.sites.slurm.ssh import Connection, Ended, Lost, NotSent

CLOCK_SECONDS: Final = 10.0
"""For the remote clock to be told."""


@dataclass(frozen=True)
class Deadlines:
    """Of a submission, in seconds. The first is the whole: after it, it has taken effect or never will."""

    whole: float = 45
    start: int = 10
    """It begins on the remote side within so long, or not at all."""
    sbatch: int = 20
    """sbatch is ended after so long."""

    @property
    def reach(self) -> float:
        """What is left for a connection and for the remote clock."""
        return self.whole - self.start - self.sbatch - commands.KILL_AFTER_SECONDS


MOST_LOG_BYTES: Final = 1 << 20

T = TypeVar("T")


class SlurmAccess:
    """One site's Slurm, as one login there: a partner's, which is a member of ``projects``, or the reader's.

    Of a submission that is Uncertain: it takes effect within ``deadlines.whole`` seconds of the call, or
    never, whatever is cut and killed meanwhile, so long as slurmctld answers what it has been asked. A
    ``find`` after that tells for certain.
    """

    def __init__(
        self,
        *,
        site: Site,
        user: str,
        key: Path,
        known_hosts: Path,
        projects: Sequence[str],
        certificate: Path | None = None,
        deadlines: Deadlines | None = None,
        reads_only: bool = False,
        origin: Origin | None = None,
    ) -> None:
        """``certificate``: an OpenSSH certificate of the key, used where there is such a file.

        ``reads_only``: nothing is submitted as this login, the reader's. ``origin`` counts the connections
        of all logins of the site; None: this is the only one.
        """
        self.site = site
        self._served = tuple(projects), Continuity()
        self._user = user
        self._reads_only = reads_only
        self._deadlines = deadlines or Deadlines()
        self._partitions = tuple(partition.name for partition in site.partitions)
        self._connection = Connection(
            *(site.access.host, site.access.port, user, key, known_hosts),
            certificate=certificate,
            key_types=site.access.key_types,
        )
        per_minute = site.access.connections_per_minute
        self._connections = Connections(per_minute, origin or Origin(per_minute), reads=reads_only)
        self._floor = Floor(site.access.poll_floor_seconds)
        self._breaker = Breaker()
        self._lock = threading.Lock()

    def serve(self, projects: Sequence[str]) -> None:
        """As in SiteAccess. Waits for nothing: a question that is under way is of those before."""
        # Jobs of a project that is served no more have not vanished: what was seen before says nothing.
        self._served = tuple(projects), Continuity()

    def submit(self, job: Submission) -> int:
        """As in SiteAccess. Held too: nothing was asked."""
        if self._reads_only:
            raise Unreachable(f"{self._user} reads at {self.site.title}, and submits nothing")
        if job.login not in ("", self._user):
            raise Unreachable(f"it is {job.login}'s at {self.site.title}, and the login is {self._user} now")
        partition = self.site.partition(job.partition)
        if partition is None or job.project not in self._served[0]:
            raise Rejected(
                f"{self.site.title} has no partition {job.partition} or project {job.project} here"
            )
        commands.submission(job)
        commands.batch_script(job)
        limits, called = self._deadlines, time.monotonic()
        if not self._lock.acquire(timeout=limits.reach):
            raise Held(f"{self.site.title} is being asked", 1.0)
        try:
            self._admit()
            # Shows that the connection lives before anything is at stake, and tells the remote clock.
            now = self._remote_clock()
            if time.monotonic() - called > limits.reach:
                self._failed()
                raise Held(f"{self.site.title} answers slowly", 1.0)
            start_by, threads = now + limits.start, partition.threads_per_core
            answer, ended = self._act(commands.submit(_token(), job, start_by, limits.sbatch, threads))
            return self._submitted(answer.parts[0], ended.errors.decode("utf-8", "replace"))
        finally:
            self._lock.release()

    def cancel(self, job: RemoteJobRow) -> None:
        """As in SiteAccess. Held too; Uncertain: ask again, it harms nothing."""
        command = commands.cancel(_token(), job.id, job.name, job.submitted)
        with self._lock:
            self._admit()
            answer, ended = self._act(command)
            if answer.parts[0].code not in (0, commands.OVER):
                raise self._failure(Uncertain, _last_line(ended.errors))
            self._breaker.succeed()

    def check(self) -> None:
        """As in SiteAccess. No floor: it costs the site an echo over a connection that is kept."""
        with self._lock:
            self._admit()
            self._whole(commands.clock(_token()))
            self._breaker.succeed()

    def find(self, name: str, since: int, login: str) -> Sequence[RemoteJobRow]:
        """As in SiteAccess: whole, from slurmctld and then the accounting, or an error.

        A job is missed only if slurmctld has forgotten it (``MinJobAge`` after its end, 300 s by default)
        and the accounting is further behind than that; or if it was submitted less than
        ``deadlines.whole`` seconds ago and its submission is still on its way.
        """

        def read(answer: Answer, token: str) -> list[RemoteJobRow]:
            queued, accounted = answer.parts
            rows = parse.merge(
                parse.parse_squeue(queued.output, token, answer.clock),
                parse.parse_sacct(accounted.output, token),
            )
            return self._in_cores(row for row in rows if row.name == name and row.submitted >= since)

        return self._ask(f"find {name}", commands.find(_token(), login, name, since), read)

    def queue(self) -> Sequence[RemoteJobRow]:
        """As in SiteAccess. Jobs that were there before and are gone without a trace make it an error."""

        projects, continuity = self._served

        def read(answer: Answer, token: str) -> list[RemoteJobRow]:
            ours, waiting = answer.parts
            rows = parse.parse_queue(ours.output, waiting.output, token, answer.clock)
            self._check_continuity(continuity, rows)
            return self._in_cores(rows)

        return self._ask("queue", commands.queue(_token(), projects, self._partitions), read)

    def ended(self, since: int) -> Sequence[RemoteJobRow]:
        """As in SiteAccess."""

        def read(answer: Answer, token: str) -> list[RemoteJobRow]:
            rows = parse.parse_sacct(answer.parts[0].output, token)
            return self._in_cores(row for row in rows if row.ended is not None and row.ended >= since)

        return self._ask("ended", commands.ended(_token(), self._served[0], since), read)

    def nodes(self) -> Sequence[NodeRow]:
        """As in SiteAccess."""
        return self._ask(
            "nodes",
            commands.nodes(_token(), self._partitions),
            lambda answer, token: parse.parse_nodes(answer.parts[0].output, token),
        )

    def granted(self, project: str) -> Granted:
        """As in SiteAccess, in the unit that the site's first partition bills."""
        tool, unit = self.site.accounting.tool, self.site.partitions[0].billing.unit
        return self._ask(
            f"granted {project}",
            commands.granted(_token(), tool, project),
            lambda answer, _: parse_granted(tool, answer.parts[0].output, project, unit),
        )

    def log_tail(self, job: RemoteJobRow, directory: str, most: int) -> bytes:
        """As in SiteAccess; at most 1 MiB."""
        command = commands.log_tail(_token(), job.name, job.id, directory, min(most, MOST_LOG_BYTES))
        return self._ask(f"log {job.id}", command, lambda answer, _: answer.parts[0].output)

    def close(self) -> None:
        """As in SiteAccess."""
        self._connection.close()

    def _in_cores(self, rows: Iterable[RemoteJobRow]) -> list[RemoteJobRow]:
        """The rows as Slurm has them, with what was given in cores and not in their hardware threads.

        What is asked for stays: each CPU of it may come to be a core, as the site has it.
        """
        threads = {one.name: one.threads_per_core for one in self.site.partitions}

        def in_cores(row: RemoteJobRow) -> RemoteJobRow:
            each = 1 if row.started is None else threads.get(row.partition, 1)
            if each == 1:
                return row
            return replace(row, resources=replace(row.resources, cores=-(-row.resources.cores // each)))

        return [in_cores(row) for row in rows]

    def _remote_clock(self) -> int:
        """Raises Unreachable, Held: nothing of a submission has been sent."""
        try:
            return self._whole(commands.clock(_token())).clock
        except Held:
            raise
        except SiteError as error:
            raise Unreachable(str(error)) from None

    def _ask(self, question: str, command: Command, read: Callable[[Answer, str], T]) -> T:
        with self._lock:
            if wait := self._floor.wait(question, time.monotonic()):
                raise Held(f"{self.site.title} is asked this again in {wait:.0f} s", wait)
            self._admit()
            try:
                self._floor.put(question, time.monotonic())
                told = self._read(command, read)
            except Unreachable:
                self._floor.forget(question)
                raise
            except SiteError:
                self._floor.miss(question)
                raise
            self._breaker.succeed()
            return told

    def _read(self, command: Command, read: Callable[[Answer, str], T]) -> T:
        answer = self._whole(command)
        try:
            return read(answer, command.token)
        except Garbled as error:
            raise self._failure(Garbled, error) from None

    def _admit(self) -> None:
        """Raises Silent where the limit on connections or the breaker says so."""
        now = time.monotonic()
        if wait := 0.0 if self._connection.alive() else self._connections.wait(now):
            raise Silent(f"{self.site.title} is connected to again in {wait:.0f} s", wait)
        if wait := self._breaker.wait(now):
            raise Silent(f"{self.site.title} did not answer; it is asked again in {wait:.0f} s", wait)

    def _whole(self, command: Command) -> Answer:
        """The answer to a question, every part of which ended well. Raises SiteError."""
        try:
            answer, ended = self._exchange(command)
        except NotSent as error:
            raise self._failure(Unreachable, error) from None
        except Lost as error:
            raise self._failure(SiteError, error) from None
        except Garbled as error:
            raise self._failure(Garbled, error) from None
        if any(part.code for part in answer.parts):
            raise self._failure(SiteError, _last_line(ended.errors))
        return answer

    def _act(self, command: Command) -> tuple[Answer, Ended]:
        """The answer to what changes something. Raises Unreachable, Uncertain."""
        try:
            return self._exchange(command)
        except NotSent as error:
            raise self._failure(Unreachable, error) from None
        except (Lost, Garbled) as error:
            raise self._failure(Uncertain, error) from None

    def _failure(self, kind: type[SiteError], why: object) -> SiteError:
        self._failed()
        return kind(f"{self.site.title}: {why}")

    def _exchange(self, command: Command) -> tuple[Answer, Ended]:
        """Over the connection, made if there is none and the limits let it. Raises NotSent, Lost, Garbled."""
        now = time.monotonic()
        alive = self._connection.alive()
        if alive:
            self._connections.hold(now)
        elif self._connections.wait(now):
            raise NotSent("the connection was lost")
        elif not self._connections.start(now):
            raise NotSent("others are being connected")
        try:
            if not alive:
                self._connection.connect()
            seconds = (commands.REMOTE_SECONDS + 10) * command.parts if command.parts else CLOCK_SECONDS
            ended = self._connection.run(command.line, command.stdin, seconds)
        except (Lost, NotSent):
            self._connection.drop()
            self._connections.lose(time.monotonic(), random.random())  # noqa: S311 (spreads tries)
            raise
        return parse_answer(ended.output, command.token, command.parts), ended

    def _submitted(self, part: Part, errors: str) -> int:
        own = {
            commands.CUT: "the script did not arrive whole",
            commands.LATE: "it arrived too late to be done",
        }
        if part.code in own:
            raise self._failure(Unreachable, f"{own[part.code]}; nothing was submitted")
        if part.code == commands.NO_FOLDER:
            self._breaker.succeed()
            raise Rejected(f"{self.site.title} has no place for the job: {errors.strip()[:200]}")
        if part.code == 0 and (job := parse.parse_submitted(part.output)):
            self._breaker.succeed()
            return job
        if part.code == 1 and (said := refusal(errors)):
            self._breaker.succeed()
            raise Rejected(f"{self.site.title}: {said}", said.lasting, said.seconds)
        if answered(errors):
            self._breaker.succeed()
            raise Unclear(f"{self.site.title}: {_last_line(errors.encode())}")
        raise self._failure(Uncertain, _last_line(errors.encode()))

    def _check_continuity(self, continuity: Continuity, rows: Sequence[RemoteJobRow]) -> None:
        """Raises Garbled where jobs are missing that must still be known."""
        now = time.monotonic()
        missing = continuity.missing(rows, now)
        if missing:
            over = self._over({job for job, _ in missing}, min(at for _, at in missing) - 1)
            if lost := continuity.doubted(missing - over, now):
                shown = ", ".join(str(job) for job, _ in sorted(lost)[:5])
                raise Garbled(f"the queue lacks jobs that have not ended: {shown}")
        continuity.note(rows)

    def _over(self, ids: Set[int], since: int) -> set[tuple[int, int]]:
        """Id and submit time of those that have ended, as the accounting says."""
        found, asked = set(), sorted(ids)
        for first in range(0, len(asked), commands.MOST_IDS):
            command = commands.known(_token(), asked[first : first + commands.MOST_IDS], since)
            rows = parse.parse_sacct(self._whole(command).parts[0].output, command.token)
            found |= {(row.id, row.submitted) for row in rows if row.state in parse.OVER or row.ended}
        return found

    def _failed(self) -> None:
        self._breaker.fail(time.monotonic(), random.random())  # noqa: S311 (spreads tries)


def _token() -> str:
    return f"x{secrets.token_hex(12)}"


def _last_line(errors: bytes) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return " ".join(lines[-1].split())[:300] if lines else "a command failed without a word"
