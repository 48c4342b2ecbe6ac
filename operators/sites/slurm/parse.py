"""What squeue, sacct and sinfo print, as rows. Nothing is guessed: what is not understood raises Garbled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from operators.sites.access import NodeRow, RemoteJobRow, Resources, State
from operators.sites.slurm.answers import Garbled, records
from operators.sites.slurm.commands import (
    PENDING_FIELDS,
    SACCT_FIELDS,
    SINFO_FIELDS,
    SQUEUE_FIELDS,
    heads,
)

STATES: Final[dict[str, State]] = {
    **dict.fromkeys(
        ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), "pending"
    ),
    **dict.fromkeys(
        (
            *("RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"),
            *("RESIZING", "POWER_UP_NODE", "UPDATE_DB"),
        ),
        "running",
    ),
    "COMPLETED": "succeeded",
    **dict.fromkeys(
        (
            *("FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED"),
            *("LAUNCH_FAILED", "RECONFIG_FAIL"),
        ),
        "failed",
    ),
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}
"""Slurm's job states (squeue(1), sacct(1)) in our words."""

NODE_MARKS: Final = {
    "*": "not_responding",
    "$": "maint",
    "%": "powering_down",
    "!": "powering_down",
    "^": "reboot",
    "@": "reboot",
    **dict.fromkeys("~#-+", ""),
}
"""What sinfo puts behind a node's state (sinfo(1), NODE STATE CODES), the weightiest first: a node that gets
no work is not idle. "": it gets work, as soon as it is powered up or once what is planned for it has run."""

OVER: Final = frozenset({"succeeded", "failed", "cancelled"})

_WORKS: Final = frozenset({"idle", "mixed", "allocated", "completing", "planned", "reserved"})

_MIB = {"": 1 / 1024 / 1024, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTP]?)")
_LIMIT = re.compile(r"(?:(?:([0-9]{1,5})-)?([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2})")
_TASKS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
_EXIT = re.compile(r"([0-9]{1,3}):([0-9]{1,3})")
_SEVERAL_GPUS = "gres/gpu:"
_NONE = frozenset({"", "N/A", "(null)", "None", "Unknown", "NONE"})
_UNLIMITED = _NONE | {"UNLIMITED", "NOT_SET", "Partition_Limit", "INVALID"}
"""What squeue and sacct say of a job whose only limit is its partition's; squeue says INVALID of more than
a year (https://github.com/SchedMD/slurm/blob/slurm-24-05-5-1/src/squeue/print.c, _print_secs)."""


def parse_queue(jobs: bytes, waiting: bytes, token: str, now: int) -> list[RemoteJobRow]:
    """Both parts of ``commands.queue``: jobs in all states, with the places of those that wait.

    ``now``: the site's clock when it was asked.
    """
    places = _places(records(waiting, token, heads(PENDING_FIELDS)))
    return [_queued(fields, places, now) for fields in records(jobs, token, heads(SQUEUE_FIELDS))]


def parse_squeue(jobs: bytes, token: str, now: int) -> list[RemoteJobRow]:
    """squeue with ``SQUEUE_FIELDS``; ended jobs that slurmctld remembers are among them."""
    return [_queued(fields, {}, now) for fields in records(jobs, token, heads(SQUEUE_FIELDS))]


def parse_sacct(output: bytes, token: str) -> list[RemoteJobRow]:
    """sacct with ``SACCT_FIELDS``, a row an allocation."""
    return [_accounted(fields) for fields in records(output, token, SACCT_FIELDS)]


def parse_nodes(output: bytes, token: str) -> list[NodeRow]:
    """sinfo with ``SINFO_FIELDS``: a row a partition and state, as its mark has it (``NODE_MARKS``)."""
    counts: Counter[tuple[str, str]] = Counter()
    for partition, state, nodes in records(output, token, heads(SINFO_FIELDS)):
        word = state.rstrip("".join(NODE_MARKS)).lower()
        marked = next((of for mark, of in NODE_MARKS.items() if of and mark in state), word)
        counts[partition.strip().rstrip("*"), marked if word in _WORKS else word] += _number(nodes)
    return [NodeRow(partition, state, count) for (partition, state), count in sorted(counts.items())]


@lru_cache(maxsize=4096)
def parse_tres(text: str) -> Resources:
    """``cpu=56,mem=480G,node=1,billing=56,gres/gpu=8,gres/gpu:mi250=8``: GPUs of any model counted once."""
    if text in _NONE:
        return Resources()
    amounts: dict[str, str] = {}
    for item in text.split(","):
        name, equals, amount = item.partition("=")
        if not equals or name in amounts:
            raise Garbled(f"resources {text[:200]!r} are not in Slurm's form")
        amounts[name] = amount
    models = [amount for name, amount in amounts.items() if name.startswith(_SEVERAL_GPUS)]
    gpus = [amounts["gres/gpu"]] if "gres/gpu" in amounts else models
    return Resources(
        nodes=_number(amounts.get("node", "0")),
        cores=_number(amounts.get("cpu", "0")),
        gpus=sum(_number(amount) for amount in gpus),
        memory_mib=_mebibytes(amounts.get("mem", "0")),
    )


def parse_limit(text: str) -> int | None:
    """squeue's TimeLimit (``3-00:00:00``, ``1:30:00``, ``10:00``) in seconds; None: only the partition's."""
    if text in _UNLIMITED:
        return None
    found = _LIMIT.fullmatch(text)
    if not found:
        raise Garbled(f"time limit {text[:40]!r} is not in Slurm's form")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def parse_tasks(text: str) -> int:
    """How many tasks squeue's ArrayTaskID names: ``0-467%20``, ``1,3,100-200:5``; 1 for what is no array.

    squeue prints the tasks of an array that wait as one line; each that has begun has a line of its own.
    """
    if text in _NONE:
        return 1
    tasks = 0
    for part in text.partition("%")[0].split(","):
        found = _TASKS.fullmatch(part)
        if not found:
            raise Garbled(f"the tasks {text[:40]!r} of an array are not in Slurm's form")
        first, last, step = (None if each is None else int(each) for each in found.groups())
        tasks += 1 if last is None else len(range(first or 0, last + 1, step or 1))
    return tasks


def parse_submitted(output: bytes) -> int | None:
    """The id that ``sbatch --parsable`` printed (``ID`` or ``ID;CLUSTER``); None where it printed no id."""
    found = re.fullmatch(rb"([1-9][0-9]{0,9})(?:;[A-Za-z0-9_-]+)?", output.strip())
    return int(found[1]) if found else None


def merge(queued: Iterable[RemoteJobRow], accounted: Iterable[RemoteJobRow]) -> list[RemoteJobRow]:
    """One row a job (id and submit time), oldest first.

    The accounting knows exit codes and slurmctld is up to date: an end that either tells of is an end, and
    of two ends the accounting's is taken.
    """
    rows = {(row.id, row.submitted): row for row in queued}
    for row in accounted:
        known = rows.get((row.id, row.submitted))
        if known is None or row.state in OVER:
            rows[row.id, row.submitted] = row
    return sorted(rows.values(), key=lambda row: (row.submitted, row.id))


def _places(waiting: Iterable[Sequence[str]]) -> dict[int, int]:
    """Job id -> place in its partition; in its best one where it waits in several.

    An array has its first task's.
    """
    length: Counter[str] = Counter()
    places: dict[int, int] = {}
    for id_, named, array in waiting:
        partitions, tasks = named.split(","), parse_tasks(array)
        places[_number(id_)] = min(length[partition] for partition in partitions) + 1
        length.update(dict.fromkeys(partitions, tasks))
    return places


def _queued(fields: Sequence[str], places: dict[int, int], now: int) -> RemoteJobRow:
    id_, name, comment, project, partition, user, raw, submitted, start, end, *others = fields
    nodes, tres, reason, limit, array, used = others
    number, (state, word) = _number(id_), _state(raw)
    waits = state == "pending"
    began = _time(start)
    # Of a job that is not over its end is when its time limit ends it.
    ended = _time(end) if state in OVER else None
    return RemoteJobRow(
        id=number,
        name=name,
        comment=_text(comment),
        project=project,
        partition=partition,
        user=user,
        state=state,
        raw_state=word,
        submitted=_number(submitted),
        started=None if waits else began,
        ended=ended,
        resources=parse_tres(tres) if tres not in _NONE else Resources(nodes=_number(nodes)),
        reason=_text(reason),
        start_estimate=began if waits else None,
        position=places.get(number) if waits else None,
        limit=parse_limit(limit),
        tasks=parse_tasks(array) if waits else 1,
        suspended=0 if waits else _suspended(began, now if ended is None else ended, parse_limit(used)),
    )


def _accounted(fields: Sequence[str]) -> RemoteJobRow:
    told = dict(zip(SACCT_FIELDS, fields, strict=True))
    state, word = _state(told["State"])
    code = _EXIT.fullmatch(told["ExitCode"])
    if not code:
        raise Garbled(f"exit code {told['ExitCode'][:40]!r} is not in Slurm's form")
    over = state in OVER
    # A run that was put back into the queue, or resized, has ended too: it goes on as one submitted later.
    ended = _time(told["End"])
    waits = state == "pending" and ended is None
    given = told["AllocTRES"]
    tres = told["ReqTRES"] if waits or given in _NONE else given
    return RemoteJobRow(
        id=_number(told["JobIDRaw"]),
        name=told["JobName"],
        comment=_text(told["Comment"]),
        project=told["Account"],
        partition=told["Partition"],
        user=told["User"],
        state=state,
        raw_state=word,
        submitted=_number(told["Submit"]),
        started=None if waits else _time(told["Start"]),
        ended=ended,
        resources=parse_tres(tres) if tres not in _NONE else Resources(nodes=_number(told["NNodes"])),
        exit_code=int(code[1]) if over else None,
        signal=int(code[2]) if over and code[2] != "0" else None,
        reason=_text(told["Reason"]),
        limit=_minutes(told["TimelimitRaw"]),
        suspended=0 if waits else _suspended(_time(told["Start"]), ended, _ran(told["ElapsedRaw"])),
    )


def _suspended(started: int | None, until: int | None, ran: int | None) -> int:
    """Seconds from its start until then in which it did not run: the scheduler says for how many it did."""
    if started is None or until is None or ran is None:
        return 0
    return max(0, until - started - ran)


def _ran(elapsed: str) -> int | None:
    """sacct's ElapsedRaw; None where it says nothing: it is below 0 for an end before the start."""
    return int(elapsed) if elapsed.isascii() and elapsed.isdecimal() else None


def _state(raw: str) -> tuple[State, str]:
    """``CANCELLED by 1000`` is CANCELLED."""
    word = raw.partition(" ")[0].rstrip("+")
    if word not in STATES:
        raise Garbled(f"job state {raw[:40]!r} is not one of Slurm's")
    return STATES[word], word


def _number(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal()):
        raise Garbled(f"{text[:40]!r} is not a number")
    return int(text)


def _mebibytes(text: str) -> int:
    found = _AMOUNT.fullmatch(text)
    if not found:
        raise Garbled(f"{text[:40]!r} is not an amount of memory")
    return int(float(found[1]) * _MIB[found[2]])


def _minutes(text: str) -> int | None:
    """sacct's TimelimitRaw, which is in minutes, in seconds; None: only the partition's."""
    return None if text in _UNLIMITED else _number(text) * 60


def _time(text: str) -> int | None:
    return None if text in _NONE else _number(text)


def _text(text: str) -> str:
    return "" if text in _NONE else text
