"""Asks who judges the rules what fires and is pending, and Alertmanager whom it has told."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from typing import Any, Final
from urllib.parse import urlencode

from infra import paths
from infra.cli.failure import Failure
from infra.cli.views import alerts as alert_rows
from infra.cli.work.forward import forward
from monitoring import alertmanager, firing
from monitoring.firing import Labels, Row
from monitoring.manifests import NAME, STORE_PORT
from monitoring.parts import NAMESPACE
from monitoring.rules.alert import RUNBOOKS
from monitoring.scrape import ALERTMANAGER_PORT
from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError

SECONDS: Final = 10.0  # for an answer


def is_sent(api: Cluster) -> bool:
    """Whether the site has an Alertmanager at all. Raises KubernetesError."""
    return api.find("v1", "Service", alertmanager.names(1)[0], NAMESPACE) is not None


def critical(api: Cluster) -> tuple[tuple[str, ...], str]:
    """The critical alerts that fire, a line each, and why nobody knows of any: empty where it is known."""
    try:
        return firing.critical(sent(api)), ""
    except KubernetesError as error:
        return (), str(error)


def sent(api: Cluster) -> list[Row]:
    """What fires, as the first Alertmanager that answers has it. Raises KubernetesError where none does."""
    return firing.sent(ask(api, "alerts"), ask(api, "silences"))


def ask(api: Cluster, what: str, *, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
    """Alertmanager's API v2, through the API server. Raises KubernetesError where nobody answers."""
    first, second = (
        f"/api/v1/namespaces/{NAMESPACE}/services/{name}:{ALERTMANAGER_PORT}/proxy/api/v2/{what}"
        for name in alertmanager.names(2)
    )
    try:
        return api.request(method, first, body=body, timeout=SECONDS)
    except KubernetesError as error:
        try:
            return api.request(method, second, body=body, timeout=SECONDS)
        except KubernetesError:
            # A site of one has no second, of which there is nothing to say.
            raise error from None


def judged(stack: str) -> tuple[list[Row], Counter[Labels]]:
    """What fires and is pending, and how often each has fired. Raises Failure without monitoring."""
    now = int(time.time())
    night = urlencode(
        {
            "query": 'ALERTS{alertstate="firing"}',
            "start": now - alert_rows.NIGHT_SECONDS,
            "end": now,
            "step": alert_rows.STEP_SECONDS,
        }
    )
    with forward(stack, NAMESPACE, NAME, STORE_PORT, what="the monitoring") as (_, address):
        alerts = _get(f"http://{address}/api/v1/alerts")["data"]["alerts"]
        series = _get(f"http://{address}/api/v1/query_range?{night}")["data"]["result"]
    return firing.judged(alerts or ()), alert_rows.fired(series)


def pages() -> dict[str, tuple[str, str]]:
    """Of each alert its runbook's path on this host, and the page."""
    folder = paths.REPOSITORY / RUNBOOKS
    return {page.stem: (str(page), page.read_text(encoding="utf-8")) for page in folder.glob("*.md")}


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 (loopback)
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise Failure(f"the monitoring does not answer: {error}", "`antenna doctor`") from error
