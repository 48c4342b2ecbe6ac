"""Reads the queue as the operator does: whole, checked, typed. ``python -m bench.poll.operator FILE``."""

from __future__ import annotations

from bench.poll.answers import PARTS, TOKEN
from bench.poll.cost import tell_cost
from operators.sites.access import RemoteJobRow
from operators.sites.slurm.answers import parse_answer
from operators.sites.slurm.parse import parse_queue


def read(answer: bytes) -> list[RemoteJobRow]:
    """A row a job, with its place in the queue where it waits."""
    ours, waiting = parse_answer(answer, TOKEN, PARTS).parts
    return parse_queue(ours.output, waiting.output, TOKEN)


if __name__ == "__main__":
    tell_cost(read)
