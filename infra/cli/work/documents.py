"""What the operator and the monitoring know of usage, fetched through the API server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from infra.cli.failure import Failure
from infra.cli.work.forward import forward
from monitoring.manifests import NAME as STORE
from monitoring.manifests import STORE_PORT
from monitoring.parts import NAMESPACE as MONITORING
from operators.manifests import NAME, NAMESPACE, USAGE_PORT

SECONDS = 60.0
"""For one document; a year of a busy site takes a few."""
JOULES_PER_KWH = 3_600_000

_ENERGY = "sum by (tenant) (sum_over_time(tenant:gpu_energy_joules:increase1m[{seconds}s]))"


def fetch(stack: str, path: str, **query: int) -> dict[str, Any]:
    """One of the operator's documents. Raises Failure where it cannot be had."""
    with forward(stack, NAMESPACE, NAME, USAGE_PORT, what="the operator") as (_, address):
        return _get(f"http://{address}{path}?{urlencode(query)}")


def local_kwh(stack: str, since: int, until: int) -> dict[str, float]:
    """kWh of the GPUs that each tenant's local jobs held, as measured. Raises Failure without monitoring."""
    query = urlencode({"query": _ENERGY.format(seconds=until - since), "time": until})
    with forward(stack, MONITORING, STORE, STORE_PORT, what="the monitoring") as (_, address):
        answer = _get(f"http://{address}/api/v1/query?{query}")
    return {
        one["metric"].get("tenant", ""): float(one["value"][1]) / JOULES_PER_KWH
        for one in answer["data"]["result"]
    }


def _get(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 (loopback)
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip()
        raise Failure(f"it was refused: {said or error}") from error
    except (OSError, ValueError) as error:
        raise Failure(f"no answer: {error}", "`antenna doctor`") from error
