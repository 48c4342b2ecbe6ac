"""Reads ``squeue --json`` by ``json``, as most scripts do. ``python -m bench.peers.squeue_json FILE``."""

from __future__ import annotations

import json
from typing import Any

from bench.poll.cost import tell_cost

_KEYS = (
    *("job_id", "name", "comment", "account", "partition", "user_name", "job_state", "submit_time"),
    *("start_time", "end_time", "node_count", "tres_alloc_str", "state_reason", "time_limit"),
)


def read(answer: bytes) -> list[tuple[Any, ...]]:
    """The fields that the operator has columns for, as they are: nothing is checked, no place is known."""
    return [tuple(job[key] for key in _KEYS) for job in json.loads(answer)["jobs"]]


if __name__ == "__main__":
    tell_cost(read)
