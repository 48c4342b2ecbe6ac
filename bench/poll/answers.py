"""Answers of a site with many jobs, made of two that a real Slurm 22.05 told of. Pure but for those two.

``recorded/`` has a running and a pending job of the Slurm that tests/remote raises, as ``squeue`` with the
operator's columns and ``squeue --json`` printed them, cut out of five. They are repeated, half and half; each
gets an id, a name, times, resources and a time limit of its own, the same in both forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from operators.sites.slurm.commands import PENDING_FIELDS, SQUEUE_FIELDS, heads

TOKEN: Final = "x0123456789abcdef01234567"  # noqa: S105 (between fields, no secret)
"""What the recorded columns stand apart by."""
PARTS: Final = 2
_RECORDED: Final = Path(__file__).parent / "recorded"
_BEGIN: Final = 1_795_600_000
_COLUMNS: Final = heads(SQUEUE_FIELDS)

# squeue's column -> the key of --json; what is not here is as it was recorded.
_KEYS: Final = {
    "JOBID": "job_id",
    "NAME": "name",
    "COMMENT": "comment",
    "ACCOUNT": "account",
    "USER": "user_name",
    "SUBMIT_TIME": "submit_time",
    "START_TIME": "start_time",
    "END_TIME": "end_time",
    "TRES_ALLOC": "tres_alloc_str",
    "TIME_LIMIT": "time_limit",
}


def columns(jobs: int) -> bytes:
    """A whole answer to ``commands.queue``: its marks, and both tables."""
    rows = [_split(line) for line in (_RECORDED / "squeue.txt").read_text().splitlines()[1:]]
    ours = [_line(_COLUMNS)]
    waiting = [_line(heads(PENDING_FIELDS))]
    for number, own in enumerate(_own(jobs)):
        told = {**dict(zip(_COLUMNS, rows[number % 2], strict=True)), **own}
        ours.append(_line(tuple(told.values())))
        if told["STATE"] == "PENDING":
            waiting.append(_line((told["JOBID"], told["PARTITION"], told["ARRAY_TASK_ID"])))
    parts = (f"{''.join(table)}\n{TOKEN} ended 0\n" for table in (ours, waiting))
    return f"{TOKEN} begin {_BEGIN}\n{''.join(parts)}".encode()


def document(jobs: int) -> bytes:
    """``squeue --json`` of the same jobs, with its own white space."""
    text = (_RECORDED / "squeue.json").read_text()
    head, _, rest = text.partition('"jobs": [\n')
    forms = [_form(one) for one in _objects(rest)]
    told = ",\n    ".join(_filled(forms[number % 2], own) for number, own in enumerate(_own(jobs)))
    return f'{head}"jobs": [\n    {told}\n  ]\n}}\n'.encode()


def _own(jobs: int) -> Iterator[dict[str, str]]:
    """What each job has for itself, by squeue's columns."""
    for number in range(jobs):
        job, hours, cores = 1_000_000 + number, number % 47 + 1, number % 56 + 1
        submitted = _BEGIN - 86_400 + number
        yield {
            "JOBID": str(job),
            "NAME": f"antenna-{job:032x}",
            "COMMENT": f"antenna tenant-{number % 23:02}/train-{number:05x}",
            "ACCOUNT": f"project_46500{number % 23:04}",
            "USER": f"antenna{number % 23:02}",
            "SUBMIT_TIME": str(submitted),
            "START_TIME": str(submitted + 60),
            "END_TIME": str(submitted + 60 + hours * 3600),
            "TRES_ALLOC": f"cpu={cores},mem={cores * 8000}M,node=1,billing={cores},gres/gpu={number % 9}",
            "TIME_LIMIT": f"{hours // 24}-{hours % 24:02}:00:00" if hours >= 24 else f"{hours}:00:00",
        }


def _split(line: str) -> list[str]:
    return [field.removesuffix("|") for field in line.split(TOKEN)[:-1]]


def _line(fields: tuple[str, ...]) -> str:
    return "".join(f"{field}|{TOKEN}" for field in fields) + "\n"


def _objects(text: str) -> Iterator[str]:
    """The text of each object of the array that follows."""
    reader = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        _, end = reader.raw_decode(text, at)
        yield text[at:end]
        at = end


def _form(text: str) -> list[str]:
    """The text in pieces; every second one is the squeue column whose value is to stand there."""
    for column, key in _KEYS.items():
        text, times = re.subn(rf'(?m)^(      "{key}": )(.*?)(,?)$', rf"\1\0{column}\0\3", text)
        if times != 1:
            raise ValueError(f"{key} stands {times} times in the recorded job")
    return text.split("\0")


def _filled(form: list[str], own: Mapping[str, str]) -> str:
    pieces = form[:]
    for at in range(1, len(pieces), 2):
        pieces[at] = _json(pieces[at], own[pieces[at]])
    return "".join(pieces)


def _json(column: str, value: str) -> str:
    if column == "TIME_LIMIT":
        # In minutes there.
        days, _, clock = value.rpartition("-")
        return str((int(days or 0) * 24 + int(clock.split(":")[0])) * 60)
    return value if value.isdecimal() else json.dumps(value).replace("/", "\\/")
