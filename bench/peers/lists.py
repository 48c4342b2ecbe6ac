"""Lists Jobs, and Workloads where asked to, a thread a kind; says what that took, and ends.

``official``: by the official client, into its models, as its documentation shows it. ``raw``: the bytes are
read and let go of, nothing is decoded. No client can be quicker than that: it is what the API server takes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubernetes import client, config

from bench.programs import peak_bytes
from operators.kube.client import connect

PAGE = 1000  # objects; the operator's, too
KUEUE = ("kueue.x-k8s.io", "v1beta2", "workloads")
PATHS = {"jobs": "/apis/batch/v1/jobs", "workloads": "/apis/" + "/".join(KUEUE)}

# Of the list's own metadata, which come first or last; an object has no such field of its own there.
_MORE = re.compile(rb'"continue":"([^"]+)"')
_ENDS = 1000  # bytes


def official(kubeconfig: Path, kinds: list[str]) -> dict[str, float]:
    """All objects as the official client has them, kept to the end."""
    config.load_kube_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    batch, custom = client.BatchV1Api(), client.CustomObjectsApi()
    calls: dict[str, Callable[..., Any]] = {
        "jobs": batch.list_job_for_all_namespaces,
        "workloads": lambda **query: custom.list_cluster_custom_object(*KUEUE, **query),
    }

    def listed(kind: str) -> list[Any]:
        found: list[Any] = []
        more = None
        while True:
            page = calls[kind](limit=PAGE, _continue=more)
            if isinstance(page, dict):
                found += page["items"]
                more = page["metadata"].get("continue")
            else:
                found += page.items
                more = page.metadata._continue
            if not more:
                return found

    with ThreadPoolExecutor(len(kinds)) as threads:
        return {"objects": sum(map(len, threads.map(listed, kinds)))}


def raw(kubeconfig: Path, kinds: list[str]) -> dict[str, float]:
    """The bytes of all pages, one page at a time."""
    cluster = connect(kubeconfig)

    def size(kind: str) -> int:
        total, more = 0, ""
        while True:
            body = cluster.read(PATHS[kind], {"limit": str(PAGE), "continue": more}, silence=300)
            total += len(body)
            found = _MORE.search(body[:_ENDS]) or _MORE.search(body[-_ENDS:])
            if not found:
                return total
            more = found[1].decode()

    with ThreadPoolExecutor(len(kinds)) as threads:
        return {"bytes": sum(threads.map(size, kinds))}


def main() -> None:
    """One line of JSON once all is listed; then nothing, until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("how", choices=("official", "raw"))
    parser.add_argument("kinds", nargs="+", choices=sorted(PATHS))
    given = parser.parse_args()
    found = (official if given.how == "official" else raw)(given.kubeconfig, given.kinds)
    own = {
        "cpu_seconds": time.process_time(),
        "peak_bytes": peak_bytes(os.getpid()),
    }
    print(json.dumps({**own, **found}), flush=True)
    time.sleep(3600)  # to give all the memory back would be part of nobody's start


if __name__ == "__main__":
    main()
