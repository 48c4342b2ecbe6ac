"""How the host and the site are judged, a function a check. Pure."""

from __future__ import annotations

from infra.cli.checks.facts import GIB, Facts
from infra.cli.checks.verdict import Verdict

# Three nodes with everything running use 1.1 GB (measured); a build of the API server peaks at 2.5 GB.
MEMORY_MACHINE = GIB // 2
MEMORY_REST = GIB
MEMORY_BUILD = 3 * GIB
# Debian base 0.4 GB, artefacts 0.7 GB, images and pods on each machine's disk; Go's caches while building.
DISK_MACHINE = GIB
DISK_CACHE = 3 * GIB
DISK_BUILD = 15 * GIB

ELSEWHERE = (
    "run it on a Linux host as root (a VM with 4 GiB will do), or use machines that you have: "
    "platform ssh, see Pulumi.example-site.yaml"
)


def system(facts: Facts) -> Verdict:
    """Machines are made by a Linux kernel."""
    if facts.host.system == "Linux":
        return Verdict("ok", "Linux")
    return Verdict("fail", f"machines need Linux, this is {facts.host.system}", ELSEWHERE)


def root(facts: Facts) -> Verdict:
    """Mounts, interfaces and control groups are root's."""
    if facts.host.root:
        return Verdict("ok", "running as root")
    return Verdict("fail", "machines are made by root", "sudo antenna up")


def capabilities(facts: Facts) -> Verdict:
    """A root without these can still not make machines: most containers."""
    if not (missing := facts.host.missing_capabilities):
        return Verdict(
            "ok", f"all there{f' (inside {facts.host.container})' if facts.host.container else ''}"
        )
    where = (
        f"this is a container ({facts.host.container})" if facts.host.container else "this root is restricted"
    )
    return Verdict("fail", f"{where} without {', '.join(missing)}", ELSEWHERE)


def programs(facts: Facts) -> Verdict:
    """What machines are made with; `up` installs it where it can."""
    if not (missing := facts.host.missing_packages):
        return Verdict("ok", "systemd-nspawn, debootstrap, ssh and the rest are installed")
    names = " ".join(missing)
    if facts.host.package_installer and facts.host.root:
        return Verdict(
            "warn", f"not installed: {names}; `antenna up` installs them", f"apt-get install {names}"
        )
    return Verdict("fail", f"not installed: {names}", f"install them (names as in Debian), or {ELSEWHERE}")


def memory(facts: Facts) -> Verdict:
    """For the machines of the site, and for building the tools where they are not built."""
    if any(machine.running for machine in facts.stack.machines):
        return Verdict("ok", f"{_size(facts.host.memory_available)} free beside the running machines")
    needed = MEMORY_REST + facts.site.machines * MEMORY_MACHINE
    if facts.stack.tools_missing:
        needed = max(needed, MEMORY_BUILD)
    return _enough("memory", facts.host.memory_available, needed, f"free some, or {ELSEWHERE}")


def disk(facts: Facts) -> Verdict:
    """For the machines' disks."""
    if any(machine.running for machine in facts.stack.machines):
        return Verdict("ok", f"{_size(facts.host.disk_home)} free beside the running machines")
    needed = GIB + facts.site.machines * DISK_MACHINE
    fix = "free some, or move the stacks with ANTENNA_HOME=/another/disk"
    return _enough("disk for machines", facts.host.disk_home, needed, fix)


def cache(facts: Facts) -> Verdict:
    """For the base and the tools, far more while they are built."""
    missing = bool(facts.stack.tools_missing)
    needed = DISK_BUILD if missing else 0 if facts.stack.base else DISK_CACHE
    fix = "free some, or move the cache with ANTENNA_CACHE=/another/disk"
    return _enough("disk for the cache", facts.host.disk_cache, needed, fix)


def cgroups(facts: Facts) -> Verdict:
    """Each machine has a tree of its own."""
    if facts.host.cgroups and facts.host.cgroups_writable:
        return Verdict("ok", f"{facts.host.cgroups}, writable")
    what = "not writable" if facts.host.cgroups else "not mounted"
    return Verdict("fail", f"the control groups in /sys/fs/cgroup are {what}", ELSEWHERE)


def overlayfs(facts: Facts) -> Verdict:
    """A machine's disk is a layer over the base."""
    if facts.host.overlayfs:
        return Verdict("ok", "the kernel has it")
    return Verdict(
        "fail", "the kernel has no overlayfs, which machines' disks are made of", "modprobe overlay"
    )


def tun(facts: Facts) -> Verdict:
    """Tunnels need it; nothing else does."""
    if facts.host.tun:
        return Verdict("ok", "/dev/net/tun")
    return Verdict("warn", "no /dev/net/tun: tunnels to remote sites will not come up", "modprobe tun")


def go(facts: Facts) -> Verdict:
    """For information: a pinned toolchain is there in any case."""
    return Verdict("ok", facts.host.go or "none on this host; the packaged toolchain is used")


def clock(facts: Facts) -> Verdict:
    """A clock that is behind makes new certificates not valid yet."""
    if facts.host.clock_behind <= 0:
        return Verdict("ok", "not behind this software's own files")
    days = facts.host.clock_behind / 86400
    return Verdict(
        "fail", f"the clock is {days:.1f} days behind: certificates will be refused", "chronyc makestep"
    )


def site(facts: Facts) -> Verdict:
    """The file describes a site that holds together."""
    site = facts.site
    if site.problem:
        return Verdict("fail", site.problem, f"edit Pulumi.{facts.stack_name}.yaml")
    counts = f"{site.machines} machines, {site.gpus} GPUs, {site.tenants} partners"
    return Verdict("ok", f"platform {site.platform}: {counts}")


def ranges(facts: Facts) -> Verdict:
    """Nothing else on this host uses the site's addresses."""
    if facts.site.problem:
        return Verdict("skip", "the site file is wrong")
    if not facts.site.clashes:
        return Verdict("ok", "free on this host")
    fix = f"choose other ranges in Pulumi.{facts.stack_name}.yaml, under site:network"
    return Verdict("fail", f"{facts.site.clashes[0]} of this host", fix)


def _enough(what: str, there: int, needed: int, fix: str) -> Verdict:
    if there >= needed:
        return Verdict("ok", f"{_size(there)} free")
    return Verdict("fail", f"{what}: {_size(there)} free, {_size(needed)} needed", fix)


def _size(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"
