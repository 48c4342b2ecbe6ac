"""Reads ``squeue --json`` by ``json``, as most scripts do. ``python -m bench.peers.squeue_json WHERE``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.poll.cost import tell_cost
from bench.poll.live import up_in

_KEYS = (
    *("job_id", "name", "comment", "account", "partition", "user_name", "job_state", "submit_time"),
    *("start_time", "end_time", "node_count", "tres_alloc_str", "state_reason", "time_limit"),
)


def read(answer: bytes) -> list[tuple[Any, ...]]:
    """The fields that the operator has columns for, as they are: nothing is checked, no place is known."""
    return [tuple(job[key] for key in _KEYS) for job in json.loads(answer)["jobs"]]


def ask(folder: Path) -> list[tuple[Any, ...]]:
    """The same of the site that is up there, over ssh."""
    site = up_in(folder)
    options = ("BatchMode=yes", f"UserKnownHostsFile={site.known_hosts}", f"Port={site.port}")
    argv = ["ssh", "-F", "none", "-i", str(site.key), *(f"-o{option}" for option in options)]
    done = subprocess.run([*argv, "root@127.0.0.1", "squeue --json"], stdout=subprocess.PIPE, check=True)
    return read(done.stdout)


if __name__ == "__main__":
    tell_cost(read, ask)
