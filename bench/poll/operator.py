"""Reads the queue as the operator does: whole, checked, typed. ``python -m bench.poll.operator WHERE``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.poll.answers import PARTS, TOKEN
from bench.poll.cost import tell_cost
from bench.poll.live import up_in
from operators.sites.access import RemoteJobRow
from operators.sites.slurm.access import SlurmAccess
from operators.sites.slurm.answers import parse_answer
from operators.sites.slurm.parse import parse_queue


def read(answer: bytes) -> list[RemoteJobRow]:
    """A row a job, with its place in the queue where it waits."""
    whole = parse_answer(answer, TOKEN, PARTS)
    ours, waiting = whole.parts
    return parse_queue(ours.output, waiting.output, TOKEN, whole.clock)


def ask(folder: Path) -> Sequence[RemoteJobRow]:
    """The same of the site that is up there, over a connection of its own."""
    access = SlurmAccess(**up_in(folder).access_options)
    try:
        return access.queue()
    finally:
        access.close()


if __name__ == "__main__":
    tell_cost(read, ask)
