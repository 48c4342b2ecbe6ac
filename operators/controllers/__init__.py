"""Controllers: what keeps the cluster as the Antenna's own objects say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import kopf
import yaml
from tenacity import Retrying, retry_if_exception_type, wait_exponential_jitter

from operators.controllers import tenant
from operators.controllers.reconcile import Reconciler
from operators.kube.client import Cluster
from operators.tenancy import TENANT_LABEL

# Seconds before each new try of a request that failed; kopf gives up after the last.
_BACKOFFS: Final = (0.5, 1, 1, 2, 3, 5, 8, 13)

_log = logging.getLogger(__name__)


def run(
    cluster: Cluster,
    kubeconfig: Path | None,
    stop: threading.Event,
    on_error: Callable[[], None],
) -> None:
    """Run the controllers in this thread until ``stop`` is set.

    ``kubeconfig`` is None in a pod. ``on_error`` is called, from other threads too, for each Tenant that
    could not be handled and for each time that the controllers had to be started anew.
    """
    # One line for each event of each object is more than anybody reads.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    reconciler = Reconciler(cluster)

    def failed(state: Any) -> None:
        on_error()
        _log.error("controllers: %s; started anew", state.outcome.exception())

    def pause(seconds: float) -> None:
        stop.wait(seconds)

    for attempt in Retrying(
        retry=retry_if_exception_type(Exception),
        stop=lambda _: stop.is_set(),
        wait=wait_exponential_jitter(1, 30),
        sleep=pause,
        before_sleep=failed,
    ):
        with attempt:
            registry = kopf.OperatorRegistry()
            kopf.on.login(registry=registry)(_login(kubeconfig))
            tenant.register(registry, reconciler.reconcile, on_error)
            kopf.run(
                registry=registry, settings=_settings(), clusterwide=True, standalone=True, stop_flag=stop
            )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None
    settings.networking.error_backoffs = _BACKOFFS
    settings.networking.request_timeout = 60
    for selector in tenant.CHILDREN:
        settings.watching.label_selectors[selector] = TENANT_LABEL
    return settings


def _login(kubeconfig: Path | None) -> Callable[..., kopf.ConnectionInfo | None]:
    """How kopf gets its credentials: of the pod's service account, or of a kubeconfig's current context."""
    if kubeconfig is None:
        return kopf.login_with_service_account

    def login(**_: Any) -> kopf.ConnectionInfo:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config, "context", config["current-context"])
        cluster, user = (_named(config, kind, context[kind]) for kind in ("cluster", "user"))
        return kopf.ConnectionInfo(
            server=cluster["server"],
            ca_path=cluster.get("certificate-authority"),
            ca_data=cluster.get("certificate-authority-data"),
            certificate_path=user.get("client-certificate"),
            certificate_data=user.get("client-certificate-data"),
            private_key_path=user.get("client-key"),
            private_key_data=user.get("client-key-data"),
            token=user.get("token"),
        )

    return login


def _named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry[kind] for entry in config[f"{kind}s"] if entry["name"] == name)
    return found
