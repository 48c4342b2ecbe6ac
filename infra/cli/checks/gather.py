"""Gathers the facts that checks judge, from the host, the state and the cluster."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from cryptography import x509

from infra import paths
from infra.authentication import issuer
from infra.cli.checks import control_plane_facts, facts, network_facts, operator_facts
from infra.cli.engines.events import Resource
from infra.cli.engines.open import open_quietly
from infra.cli.session import Session
from infra.cli.verbs.links import look
from infra.cli.views import overview
from infra.cli.views.kube import is_true
from infra.cli.work import alerts as alert_facts
from infra.cli.work.own_objects import own_objects
from infra.provider import base, cgroups, container, interfaces, leftovers, network, ssh
from infra.provider import host as programs
from infra.provider.kind import ProviderError
from infra.site import Site, SiteError
from infra.tools import artifacts, stock, toolchain
from infra.tools.failure import ToolError
from infra.tools.pins import TOOLS
from operators import queues
from operators.kube import client
from operators.kube.errors import KubernetesError

# What systemd-nspawn and the machines need: bit numbers of linux/capability.h.
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETUID": 7,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}

# Tests' own, not part of what a site needs.
_NOT_IN_A_SITE = {"kwok"}


def before_up(site: Site) -> facts.Facts:
    """What `up` must know before it touches anything. Takes well under a second."""
    known = [facts.Machine(name, container.is_running(site.stack, name)) for name in _disks(site.stack)]
    stack = facts.Stack(
        tools_missing=tools_missing(made_here=site.platform == "embedded"),
        base=_base_there(),
        machines=tuple(known),
    )
    return facts.Facts(site.stack, host(), site_facts(site), stack)


def everything(session: Session) -> facts.Facts:
    """What `doctor` judges. Never raises for what is wrong with the site: that is a finding."""
    site = None
    try:
        site = session.site()
        described = site_facts(site)
    except SiteError as error:
        described = facts.Site(problem="; ".join(str(error).splitlines()))
    engine = open_quietly(session)
    resources = engine.resources()
    machines = [r for r in resources if r.kind == "Machine"]
    with ThreadPoolExecutor() as pool:
        states = tuple(pool.map(_machine, machines))
        links = list(pool.map(look, (r for r in resources if r.kind == "Link")))
    held, stale = engine.holder()
    asked, fault = people(site) if site and machines else ("", "")
    stack = facts.Stack(
        recorded=bool(machines),
        lock=held,
        lock_stale=stale,
        leftovers=_leftovers(session.stack),
        tools_missing=tools_missing(made_here=described.platform == "embedded"),
        base=described.platform != "embedded" or _base_there(),
        machines=states,
        links=len(links),
        links_down=tuple(f"{link.name}: {link.problem}" for link in links if link.problem),
        issuer=asked,
        issuer_fault=fault,
    )
    is_up = any(r.kind == "Playbook" for r in resources)
    found = cluster(paths.kubeconfig(session.stack)) if is_up else None
    return facts.Facts(session.stack, host(), described, stack, found)


def host() -> facts.Host:
    """This host, whatever it runs."""
    linux = platform.system() == "Linux"
    memory, available = _memory() if linux else (0, 0)
    controllers = cgroups.hierarchies() if linux and cgroups.ROOT.is_dir() else []
    return facts.Host(
        system=platform.system(),
        root=os.geteuid() == 0,
        cpus=os.cpu_count() or 1,
        memory=memory,
        memory_available=available,
        disk_home=_free(paths.home_dir()),
        disk_cache=_free(paths.cache_dir()),
        missing_capabilities=_missing_capabilities() if linux else (),
        missing_packages=tuple(programs.missing_packages()),
        package_installer=bool(programs.find_program("apt-get")),
        cgroups=("cgroup v2" if controllers == [cgroups.ROOT] else "cgroup v1") if controllers else "",
        cgroups_writable=bool(controllers) and all(os.access(c, os.W_OK) for c in controllers),
        overlayfs=linux and "overlay" in Path("/proc/filesystems").read_text().split(),
        tun=Path("/dev/net/tun").exists(),
        go=_go(),
        clock_behind=Path(paths.__file__).stat().st_mtime - time.time(),
        container=_container(),
    )


def site_facts(site: Site) -> facts.Site:
    """What the site asks of the host."""
    clashes: list[str] = []
    if site.platform == "embedded" and programs.find_program("ip"):
        ranges = [*map(site.pods, site.nodes), str(site.network.services)]
        wanted = {
            "bridge": site.bridge,
            "cidr": str(site.network.cidr),
            "routes": [{"to": to} for to in ranges],
        }
        clashes = network.overlaps(wanted, interfaces.interfaces(), interfaces.routes())
    return facts.Site(
        platform=site.platform,
        machines=len(site.machines),
        nodes=len(site.nodes),
        gpus=sum(site.gpus.values()),
        tenants=len(site.tenants),
        clashes=tuple(clashes),
    )


def people(site: Site) -> tuple[str, str]:
    """(the provider of people, why nobody can log in there): empty without a provider, without a fault."""
    from infra.cli.people import oidc  # noqa: PLC0415 (what it brings takes half a second)

    stated = site.authentication
    if stated is None:
        return "", ""
    authority = paths.issuer_dir(site.stack) / "ca.crt" if stated.built_in else None
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as own:
        if authority is None and stated.certificate_authority:
            own.write(stated.certificate_authority)
            own.flush()
            authority = Path(own.name)
        provider = oidc.Provider(issuer(site), stated.audience, stated.scopes, authority)
        return provider.issuer, oidc.fault(provider)


def cluster(kubeconfig: Path) -> facts.Cluster:
    """What the cluster's API tells."""
    try:
        api = client.connect(kubeconfig)
        nodes = overview.nodes(api.list_objects("v1", "Node"), [])
        kueue = api.find("apps/v1", "Deployment", "kueue-controller-manager", "kueue-system")
        found = overview.queues(
            api.list_objects(queues.API_VERSION, "ClusterQueue"), [], [], datetime.now(UTC)
        )
        unasked = operator_facts.unasked(api)
        entries = own_objects(api, "RemoteSite")
        sites = overview.sites(entries, [], [], nodes, unasked)[1:]
        runs = operator_facts.look(api)
        ready = [node.name for node in nodes if node.ready]
        flags, flags_differ = control_plane_facts.look(api, ready)
        network_silent = network_facts.look(api, ready)
        alerts_sent = alert_facts.is_sent(api)
        critical, alerts_silent = alert_facts.critical(api) if alerts_sent else ((), "")
    except KubernetesError as error:
        return facts.Cluster(problem=str(error))
    return facts.Cluster(
        nodes=len(nodes),
        nodes_not_ready=tuple(f"{n.name} ({n.reason})" for n in nodes if not n.ready),
        gpus=sum(n.gpus for n in nodes),
        kueue_ready=kueue is not None and is_true(kueue, "Available"),
        operator=runs,
        queues=len(found),
        inactive_queues=tuple(f"{q.name} ({q.reason})" for q in found if not q.active),
        certificate_days=_days_left(_server_certificate(api.server)),
        administrator_days=_days_left(_own_certificates(kubeconfig)),
        flags=flags,
        flags_differ=flags_differ,
        network_silent=network_silent,
        alerts_sent=alerts_sent,
        alerts_silent=alerts_silent,
        critical=critical,
        remote_sites=len(sites),
        unasked=unasked,
        silent_sites=tuple(f"{site.name}: {site.reason}" for site in sites if not site.usable),
        partners_shut_out=overview.shut_out(entries),
        sites_not_asked=tuple(f"{s.name}: {s.reason}" for s in sites if s.usable and not s.asked),
    )


def tools_missing(*, made_here: bool) -> tuple[str, ...]:
    """The pinned tools that a site needs and that are not built."""
    try:
        if artifacts.location(artifacts.digest(made_here=made_here)).is_dir():
            return ()
        rows = stock.status()
    except ToolError:
        return tuple(tool.name for tool in TOOLS if tool.name not in _NOT_IN_A_SITE)
    missing = [row.tool for row in rows if not row.built and row.tool not in _NOT_IN_A_SITE]
    return tuple(missing or ["images"])


def _machine(resource: Resource) -> facts.Machine:
    inputs = {**resource.inputs, **resource.outputs}
    if inputs.get("driver") == "nspawn" and not container.is_running(inputs["stack"], inputs["name"]):
        return facts.Machine(resource.name, running=False)
    try:
        ssh.run(ssh.Login.of(inputs), "true", timeout=10)
    except (ProviderError, KeyError) as error:
        return facts.Machine(resource.name, running=True, ssh=str(error))
    return facts.Machine(resource.name, running=True)


def _disks(stack: str) -> Iterable[str]:
    folder = paths.stack_dir(stack) / "machines"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _leftovers(stack: str) -> tuple[str, ...]:
    """How many of each kind, as in "process: 40". A folder alone (logs, keys) is nothing to worry about."""
    if platform.system() != "Linux":
        return ()
    counts = Counter(trace.kind for trace in leftovers.list_traces(stack) if trace.kind != "folder")
    return tuple(f"{kind}: {count}" for kind, count in sorted(counts.items()))


def _base_there() -> bool:
    return base.directory(base.digest()).is_dir()


def _memory() -> tuple[int, int]:
    """(all, available) in bytes, the limit of a surrounding container included."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    sizes = {parts[0].rstrip(":"): int(parts[1]) * 1024 for parts in lines}
    total, available = sizes["MemTotal"], sizes["MemAvailable"]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        path = cgroups.ROOT / limit
        if path.exists() and (text := path.read_text().strip()) != "max":
            total = min(total, int(text))
    return total, min(available, total)


def _free(folder: Path) -> int:
    there = next(p for p in (folder, *folder.parents) if p.exists())
    return shutil.disk_usage(there).free


def _missing_capabilities() -> tuple[str, ...]:
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    # A user who is not root has none of them; that is said once, by the check of root.
    return (
        tuple(n for n, bit in CAPABILITIES.items() if not effective >> bit & 1) if os.geteuid() == 0 else ()
    )


def _container() -> str:
    marks = {"docker": Path("/.dockerenv"), "podman": Path("/run/.containerenv")}
    named = Path("/run/systemd/container")
    if named.exists():
        return named.read_text().strip()
    return next((name for name, mark in marks.items() if mark.exists()), "")


def _go() -> str:
    try:
        return toolchain.choose("tools", TOOLS[0].source / "go.mod").banner
    except ToolError as error:
        return str(error)


def _own_certificates(kubeconfig: Path) -> list[str]:
    """The certificates (PEM) of whoever asks."""
    document = yaml.safe_load(kubeconfig.read_text())
    return [
        base64.b64decode(user["user"]["client-certificate-data"]).decode()
        for user in document.get("users") or []
        if "client-certificate-data" in user.get("user", {})
    ]


def _server_certificate(server: str) -> list[str]:
    """The API server's certificate (PEM); none where it does not answer."""
    address = urlsplit(server)
    try:
        return [ssl.get_server_certificate((address.hostname or "", address.port or 443), timeout=5)]
    except (OSError, socket.gaierror):
        return []


def _days_left(pems: Iterable[str]) -> float | None:
    """Days until the first of them ends; None without any."""
    ends = [x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc for pem in pems]
    return (min(ends) - datetime.now(UTC)).total_seconds() / 86400 if ends else None
