"""The operator: job and queue metrics on /metrics, and the controllers of the Antenna's own objects.

    python -m operators --kubeconfig FILE     beside a cluster
    python -m operators                       as a pod of it

Ends with 0 when told to (SIGTERM, SIGINT), with 1 when it cannot begin, with 2 when called wrongly.
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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
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
from operators.dispatch.access import opener
from operators.dispatch.run import Dispatch, Settings
from operators.documents import documents
from operators.exposition import tls
from operators.exposition.access import Access
from operators.exposition.server import Pages, Server
from operators.exposition.store import Store
from operators.k8s import Cluster, connect, connect_in_cluster
from operators.k8s_errors import KubernetesError, Unreachable
from operators.ledger.ledger import Ledger
from operators.ledger.remote import RemoteLedger
from operators.manifests import CA_CONFIG_MAP, NAMESPACE
from operators.remote_accounts import RemoteAccounts
from operators.remote_credentials import CredentialExpiries
from operators.remote_usage import RemoteUsage
from operators.stream.dispatcher import Dispatcher
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
    try:
        _run(options, stop)
    except (Unreachable, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    # What is kept of objects has no cycles: to look through it all again and again frees nothing.
    gc.set_threshold(_GARBAGE)
    cluster = _connect(options.kubeconfig)
    store = Store(FAMILIES, without=frozenset(options.without))
    options.state.mkdir(parents=True, exist_ok=True)
    where = os.environ.get(LEDGER_URL) or options.state / "ledger.sqlite"
    ledger, remote = Ledger(where), RemoteLedger(where)
    usage = RemoteUsage(store, remote)
    sinks, notices = collectors(store, ledger), Notices(cluster)
    if options.controllers:
        sinks = notices.listening(sinks)
    dispatcher = Dispatcher(cluster, sinks, store)
    pages = Pages(dispatcher.waiting_for, store, None if options.plain else Access(cluster).judge)
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
        Server(options.health_listen, Pages(dispatcher.waiting_for)).start()
    if options.usage_listen:
        shared = Pages(dispatcher.waiting_for, documents=documents(usage, remote))
        Server(options.usage_listen, shared).start()
    dispatcher.start()
    _begin("local-usage", partial(_show_local_usage, usage, stop))
    if options.remote_credentials:
        expiries = CredentialExpiries(store, options.remote_credentials)
        _begin("remote-credentials", partial(_show_expiries, expiries, stop))
    if options.controllers:
        _begin("controllers", partial(_control, cluster, options.kubeconfig, store, stop))
        _begin("why", partial(notices.run, stop))
        _begin("remote-jobs", partial(_dispatch, cluster, options, usage, store, stop))
    _log.info("listening on port %s", server.server_address[1])
    stop.wait()
    _log.info("ending")
    dispatcher.stop()
    server.shutdown()
    ledger.close()
    remote.close()


def _show_local_usage(usage: RemoteUsage, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            usage.local()
        except SQLAlchemyError:
            _log.exception("local usage could not be read; trying again")
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
    errors = itertools.count(1)

    def failed() -> None:
        store.set("antenna_operator_reconcile_errors_total", ("RemoteJob",), next(errors))

    store.set("antenna_operator_reconcile_errors_total", ("RemoteJob",), 0)
    settings = Settings(namespace=NAMESPACE, identity=options.identity or _identity(options.kubeconfig))
    access = opener(options.remote_credentials)
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
        epilog="Exit codes: 0 told to end, 1 cannot begin, 2 wrong usage. "
        f"{LEDGER_URL} names another database than an SQLite file in --state: postgresql+psycopg://...",
    )
    add = parser.add_argument
    add("--kubeconfig", type=Path, metavar="FILE", help="the cluster; without it, the one this is a pod of")
    add("--listen", type=_address, default=_address(":8443"), metavar="HOST:PORT", help="/metrics (:8443)")
    add(
        "--health-listen", type=_address, metavar="HOST:PORT", help="/healthz and /readyz over plain HTTP too"
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
