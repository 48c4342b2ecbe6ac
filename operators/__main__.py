"""The operator: job and queue metrics on /metrics, and the controllers of the Antenna's own objects.

    python -m operators --kubeconfig FILE     beside a cluster
    python -m operators                       as a pod of it

Ends with 0 when told to (SIGTERM, SIGINT), with 1 when it cannot begin or a part of it fails, with 2 when
called wrongly.
"""

from __future__ import annotations

import argparse
import gc
import ipaddress
import itertools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from operators import logs
from operators.catalog import FAMILIES
from operators.collectors import collectors
from operators.documents import documents
from operators.exposition import tls
from operators.exposition.access import Access
from operators.exposition.server import Pages, Server
from operators.exposition.store import Store
from operators.kube.client import Cluster, connect, connect_in_cluster
from operators.kube.errors import KubernetesError, Unreachable
from operators.ledger.ledger import Ledger
from operators.ledger.opening import opened
from operators.ledger.remote import RemoteLedger
from operators.ledger.schema import NewerSchema
from operators.ledger.trouble import told
from operators.manifests import CA_CONFIG_MAP, NAMESPACE, STREAMS
from operators.remote_credentials import CredentialExpiries
from operators.stream.dispatcher import Dispatcher
from operators.usage.remote import RemoteUsage
from operators.usage.tenants import TenantBudgets
from operators.why.notices import Notices

_log = logging.getLogger("operators")

Address = tuple[str, int]

_GARBAGE: Final = 50_000
"""Objects that may be made before garbage is looked for: some megabytes."""
LEDGER_URL: Final = "ANTENNA_LEDGER_URL"
"""The environment's variable that names the ledger's database; not an option, as it may hold a password."""
LOCAL_USAGE_SECONDS: Final = 60.0
CREDENTIALS_SECONDS: Final = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end; the exit code."""
    options = _options(arguments)
    logs.configure(options.log_format)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    failed = _end_when_a_thread_fails(stop)
    try:
        _run(options, stop)
    except (Unreachable, OSError, NewerSchema) as error:
        _log.error("%s", error)
        return 1
    except ArgumentError as error:  # SQLAlchemy's for an URL that names no database
        _log.error("%s names no database: %s", LEDGER_URL, error)
        return 1
    return 1 if failed.is_set() else 0


def _end_when_a_thread_fails(stop: threading.Event) -> threading.Event:
    """Set ``stop`` when any thread ends by an error, and the event that is returned: it was no order.

    Half an operator would look well, and nobody would miss its other half: a ledger that is not written, a
    site that is not asked. Whoever started it starts it anew.
    """
    failed = threading.Event()

    def hook(ended: threading.ExceptHookArgs) -> None:
        if stop.is_set() or ended.exc_value is None:
            return  # what breaks while all ends is of no account
        name = ended.thread.name if ended.thread else "a thread"
        _log.error("%s failed: %r; ending", name, ended.exc_value, exc_info=ended.exc_value)
        failed.set()
        stop.set()

    threading.excepthook = hook
    return failed


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    # What is kept of objects has no cycles: to look through it all again and again frees nothing.
    gc.set_threshold(_GARBAGE)
    cluster = _connect(options.kubeconfig)
    store = Store(FAMILIES, without=frozenset(options.without))
    options.state.mkdir(parents=True, exist_ok=True)
    where = os.environ.get(LEDGER_URL) or options.state / "ledger.sqlite"
    ready = _Readiness()
    pages = Pages(ready.waiting_for, store, None if options.plain else Access(cluster).judge)
    if options.plain:
        server = Server(options.listen, pages)
    else:
        folder = options.cert_dir or options.state
        certificate = tls.certificate(folder)
        server = Server(options.listen, pages, tls.context(folder))
        for namespace in (NAMESPACE, *options.publish_to):
            _begin("publish", partial(_publish, cluster, namespace, certificate, stop))
    server.start()
    if options.health_listen:
        Server(options.health_listen, Pages(ready.waiting_for, documents={STREAMS: ready.report})).start()
    if options.controllers:
        _begin("controllers", partial(_control, cluster, options.kubeconfig, store, stop))
    _log.info("listening on port %s", server.server_address[1])
    # Whoever asks is answered meanwhile: an operator that waits for its ledger need not be started again.
    if ledgers := opened(lambda: (Ledger(where), RemoteLedger(where)), stop):
        _work(options, cluster, store, ledgers=ledgers, ready=ready, stop=stop)
    server.shutdown()


@dataclass
class _Readiness:
    """What is not there yet: the ledger, then the lists of the cluster's objects."""

    dispatcher: Dispatcher | None = None

    def waiting_for(self) -> Sequence[str]:
        return self.dispatcher.waiting_for() if self.dispatcher else ("the ledger",)

    def report(self, _query: Mapping[str, str]) -> dict[str, Any]:
        return self.dispatcher.report() if self.dispatcher else {"streams": []}


def _work(
    options: argparse.Namespace,
    cluster: Cluster,
    store: Store,
    *,
    ledgers: tuple[Ledger, RemoteLedger],
    ready: _Readiness,
    stop: threading.Event,
) -> None:
    """All that needs the ledger, until told to end."""
    ledger, remote = ledgers
    usage = RemoteUsage(store, remote)
    streams, notices = collectors(store, ledger), Notices(cluster)
    if options.controllers:
        streams["workloads"] = streams["workloads"].heard_by(notices.listener)
    dispatcher = ready.dispatcher = Dispatcher(cluster, streams.values(), store)
    pages = documents(usage, remote)
    if options.usage_listen:
        shared = Pages(ready.waiting_for, documents=pages)
        Server(options.usage_listen, shared).start()
    dispatcher.start()
    _begin("local-usage", partial(_show_local_usage, usage, stop))
    if options.remote_credentials:
        expiries = CredentialExpiries(store, options.remote_credentials)
        _begin("remote-credentials", partial(_show_expiries, expiries, stop))
    if options.controllers:
        _begin("why", partial(notices.run, stop))
        _begin("budgets", partial(TenantBudgets(cluster, pages["/budgets"]).run, stop))
        _begin("remote-jobs", partial(_dispatch, cluster, options, usage, store, stop))
    stop.wait()
    _log.info("ending")
    dispatcher.stop()
    ledger.close()
    remote.close()


def _show_local_usage(usage: RemoteUsage, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            usage.local()
        except SQLAlchemyError as error:
            _log.warning("local usage could not be read: %s; trying again", told(error))
        stop.wait(LOCAL_USAGE_SECONDS)


def _show_expiries(expiries: CredentialExpiries, stop: threading.Event) -> None:
    while not stop.is_set():
        expiries.look()
        stop.wait(CREDENTIALS_SECONDS)


def _control(cluster: Cluster, kubeconfig: Path | None, store: Store, stop: threading.Event) -> None:
    # Imported here: metrics need neither kopf nor its second of start-up.
    from operators import controllers  # noqa: PLC0415

    errors = itertools.count(1)

    def failed() -> None:
        store.set("antenna_operator_reconcile_errors_total", ("Tenant",), next(errors))

    store.set("antenna_operator_reconcile_errors_total", ("Tenant",), 0)
    controllers.run(cluster, kubeconfig, stop, failed)


def _dispatch(
    cluster: Cluster, options: argparse.Namespace, usage: RemoteUsage, store: Store, stop: threading.Event
) -> None:
    # Imported here, as the controllers are: what a start waits for is the lists.
    from operators.dispatch.access import Credentials  # noqa: PLC0415
    from operators.dispatch.run import Dispatch, Settings  # noqa: PLC0415
    from operators.usage.accounts import RemoteAccounts  # noqa: PLC0415

    errors = itertools.count(1)

    def failed() -> None:
        store.set("antenna_operator_reconcile_errors_total", ("RemoteJob",), next(errors))

    store.set("antenna_operator_reconcile_errors_total", ("RemoteJob",), 0)
    settings = Settings(namespace=NAMESPACE, identity=options.identity or _identity(options.kubeconfig))
    access = Credentials(options.remote_credentials)
    Dispatch(cluster, settings, access=access, accounts=RemoteAccounts(usage), failed=failed).run(stop)


def _identity(kubeconfig: Path | None) -> str:
    """Who this is, among all that could send jobs to remote sites.

    A container that is started again is the same pod, and its predecessor is gone: it goes on at once.
    Beside a cluster nobody sees to that.
    """
    host = socket.gethostname()
    return f"{host}/{os.getpid()}" if kubeconfig else host


def _connect(kubeconfig: Path | None) -> Cluster:
    return connect(kubeconfig, long_lived=True) if kubeconfig else connect_in_cluster()


def _begin(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


def _publish(cluster: Cluster, namespace: str, certificate: str, stop: threading.Event) -> None:
    """Let the namespace's scrapers know the certificate, as soon as the API server takes it."""
    authority = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CA_CONFIG_MAP, "namespace": namespace},
        "data": {"ca.crt": certificate},
    }
    again = Retrying(
        retry=retry_if_exception_type(KubernetesError),
        wait=wait_exponential(max=60),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=lambda state: _log.warning(
            "ConfigMap %s/%s: %s", namespace, CA_CONFIG_MAP, state.outcome and state.outcome.exception()
        ),
        retry_error_callback=lambda _: None,
    )
    again(partial(cluster.apply, authority, manager="antenna-operator"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m operators",
        description="Antenna operator: job and queue metrics, and the controllers of tenants.",
        epilog="Exit codes: 0 told to end, 1 cannot begin or a part of it failed, 2 wrong usage. "
        f"{LEDGER_URL} names another database than an SQLite file in --state: postgresql+psycopg://...",
    )
    add = parser.add_argument
    add("--kubeconfig", type=Path, metavar="FILE", help="the cluster; without it, the one this is a pod of")
    add("--listen", type=_address, default=_address(":8443"), metavar="HOST:PORT", help="/metrics (:8443)")
    add(
        "--health-listen",
        type=_address,
        metavar="HOST:PORT",
        help="/healthz, /readyz and /streams over plain HTTP too",
    )
    add(
        "--usage-listen",
        type=_address,
        metavar="HOST:PORT",
        help="/budgets and /usage over HTTP without a token; loopback addresses only",
    )
    add("--plain", action="store_true", help="/metrics over HTTP without a token; loopback addresses only")
    add(
        "--state",
        type=Path,
        default=Path("/var/lib/antenna-operator"),
        metavar="DIR",
        help="what must outlive a restart: the ledger, key and certificate (%(default)s)",
    )
    add("--cert-dir", type=Path, metavar="DIR", help="key and certificate, if not in --state")
    add(
        "--publish-to",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help=f"put the certificate into this namespace too, beside {NAMESPACE}; may be repeated",
    )
    per_object = [family.name for family in FAMILIES if family.per_object]
    add(
        "--without",
        action="append",
        default=[],
        metavar="FAMILY",
        choices=per_object,
        help=f"leave out a family of one series an object; may be repeated: {', '.join(per_object)}",
    )
    add(
        "--remote-credentials",
        type=Path,
        metavar="DIR",
        help="accounts at remote sites: SITE.user, SITE.key and SITE.known_hosts for each; "
        "SITE.cert and SITE.expires where there are such",
    )
    add(
        "--identity",
        metavar="NAME",
        help="who this is among the operators that could send jobs to remote sites (the host's name)",
    )
    add("--no-controllers", dest="controllers", action="store_false", help="metrics only: change nothing")
    add("--log-format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    if options.plain and not _is_loopback(options.listen[0]):
        parser.error("--plain needs a loopback address in --listen: 127.0.0.1:8080")
    if options.usage_listen and not _is_loopback(options.usage_listen[0]):
        parser.error("--usage-listen needs a loopback address: 127.0.0.1:8082")
    return options


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
