"""What `antenna doctor` knows before it judges: plain facts of the host, the site and the stack."""

from __future__ import annotations

from dataclasses import dataclass, field

GIB = 2**30


@dataclass(frozen=True)
class Host:
    """This host. Sizes in bytes; ``missing_capabilities`` are those that machines need and we lack."""

    system: str
    root: bool
    cpus: int
    memory: int
    memory_available: int
    disk_home: int
    disk_cache: int
    missing_capabilities: tuple[str, ...]
    missing_packages: tuple[str, ...]
    package_installer: bool
    cgroups: str
    cgroups_writable: bool
    overlayfs: bool
    tun: bool
    go: str
    clock_behind: float
    container: str


@dataclass(frozen=True)
class Site:
    """The site file. ``problem`` is the message of the first thing wrong with it, empty when sound."""

    platform: str = ""
    machines: int = 0
    nodes: int = 0
    """The machines that are nodes of the cluster."""
    gpus: int = 0
    tenants: int = 0
    clashes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Machine:
    """A machine that the state knows. ``ssh`` is "" when it answers, else why not."""

    name: str
    running: bool
    ssh: str = ""


@dataclass(frozen=True)
class Stack:
    """What this host holds of the stack."""

    recorded: bool = False
    lock: str = ""
    lock_stale: bool = False
    leftovers: tuple[str, ...] = ()
    tools_missing: tuple[str, ...] = ()
    base: bool = True
    machines: tuple[Machine, ...] = ()
    links: int = 0
    links_down: tuple[str, ...] = ()
    issuer: str = ""
    """The provider whose word the API server takes of people; empty where the site names none."""
    issuer_fault: str = ""
    """Why nobody can log in there."""


@dataclass(frozen=True)
class Operator:
    """The operator: its Deployment, its pod, and what it says of itself."""

    deployed: bool = False
    wanted: int = 0
    """Pods that the Deployment asks for."""
    ready: bool = False
    state: str = ""
    """Why its pod is not ready, as Kubernetes tells; empty where the operator itself knows better."""
    unlisted: tuple[str, ...] = ()
    """Resources whose first list it has not taken yet."""
    stalest: str = ""
    """The resource of which the API server has told it nothing for longest, ``age`` seconds."""
    age: float = 0.0
    silent: str = ""
    """Why it does not say how old its figures are."""
    errors: int = 0
    """Errors in its log within the last minute."""
    error: str = ""
    """The last of them."""


@dataclass(frozen=True)
class Cluster:
    """The cluster as its API tells. ``problem`` says why it does not answer."""

    problem: str = ""
    nodes_not_ready: tuple[str, ...] = ()
    nodes: int = 0
    gpus: int = 0
    kueue_ready: bool = False
    operator: Operator = field(default_factory=Operator)
    inactive_queues: tuple[str, ...] = ()
    queues: int = 0
    certificate_days: float | None = None
    """Until the API server's certificate ends."""
    administrator_days: float | None = None
    """Until that of whoever asks does."""
    flags: int = 0
    """Flags of the control plane and the kubelets that were compared with the table."""
    flags_differ: tuple[str, ...] = ()
    network_silent: tuple[str, ...] = ()
    """Nodes whose network layer does not decide about pods' connections, and why."""
    remote_sites: int = 0
    silent_sites: tuple[str, ...] = ()
    sites_not_asked: tuple[str, ...] = ()
    partners_shut_out: tuple[str, ...] = ()
    """Remote sites that cannot be used as every partner's login there, and why."""
    alerts_sent: bool = True
    """Whether the site has anybody whom alerts reach."""
    alerts_silent: str = ""
    """Why nobody knows what fires."""
    critical: tuple[str, ...] = ()
    """Critical alerts that fire, and what each is about."""
    unasked: str = ""
    """Why nobody asks any of them; empty where somebody does."""


@dataclass(frozen=True)
class Facts:
    """All of it. ``cluster`` is None where the stack is not up."""

    stack_name: str
    host: Host
    site: Site = field(default_factory=Site)
    stack: Stack = field(default_factory=Stack)
    cluster: Cluster | None = None
