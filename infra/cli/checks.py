"""Everything that can be wrong, a row each: how it is judged, and its fix. Pure.

`doctor` shows all rows; `up` refuses the host on the rows that its platform needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from infra.cli.facts import GIB, Cluster, Facts

Level = Literal["ok", "warn", "fail", "skip"]

# Three nodes with everything running use 1.1 GB (measured); a build of the API server peaks at 2.5 GB.
MEMORY_MACHINE = GIB // 2
MEMORY_REST = GIB
MEMORY_BUILD = 3 * GIB
# Debian base 0.4 GB, artefacts 0.7 GB, images and pods on each machine's disk; Go's caches while building.
DISK_MACHINE = GIB
DISK_CACHE = 3 * GIB
DISK_BUILD = 15 * GIB
CERTIFICATE_DAYS = 30

ELSEWHERE = (
    "run it on a Linux host as root (a VM with 4 GiB will do), or use machines that you have: "
    "platform ssh, see Pulumi.example-site.yaml"
)


@dataclass(frozen=True)
class Verdict:
    """A judgement: ``cause`` says what was found, ``fix`` is a command or an edit."""

    level: Level
    cause: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """One row. ``needed_by`` are the platforms whose `up` refuses the host when it fails."""

    name: str
    about: str
    judge: Callable[[Facts], Verdict]
    needed_by: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """A check and its verdict."""

    check: Check
    verdict: Verdict

    def document(self) -> dict[str, Any]:
        """The stable keys of a row of `antenna doctor --json`."""
        verdict = self.verdict
        return {
            "check": self.check.name,
            "about": self.check.about,
            "verdict": verdict.level,
            "cause": verdict.cause,
            "fix": verdict.fix,
        }


def run(facts: Facts, checks: Iterable[Check] | None = None) -> list[Finding]:
    """Every check's verdict, in the table's order."""
    return [Finding(check, check.judge(facts)) for check in (CHECKS if checks is None else checks)]


def refusals(facts: Facts) -> list[Finding]:
    """Why this host cannot raise a site of its platform; empty when it can."""
    needed = [check for check in CHECKS if facts.site.platform in check.needed_by]
    return [finding for finding in run(facts, needed) if finding.verdict.level == "fail"]


def _system(facts: Facts) -> Verdict:
    if facts.host.system == "Linux":
        return Verdict("ok", "Linux")
    return Verdict("fail", f"machines need Linux, this is {facts.host.system}", ELSEWHERE)


def _root(facts: Facts) -> Verdict:
    if facts.host.root:
        return Verdict("ok", "running as root")
    return Verdict("fail", "machines are made by root", "sudo antenna up")


def _capabilities(facts: Facts) -> Verdict:
    if not (missing := facts.host.missing_capabilities):
        return Verdict(
            "ok", f"all there{f' (inside {facts.host.container})' if facts.host.container else ''}"
        )
    where = (
        f"this is a container ({facts.host.container})" if facts.host.container else "this root is restricted"
    )
    return Verdict("fail", f"{where} without {', '.join(missing)}", ELSEWHERE)


def _programs(facts: Facts) -> Verdict:
    if not (missing := facts.host.missing_packages):
        return Verdict("ok", "systemd-nspawn, debootstrap, ssh and the rest are installed")
    names = " ".join(missing)
    if facts.host.package_installer and facts.host.root:
        return Verdict(
            "warn", f"not installed: {names}; `antenna up` installs them", f"apt-get install {names}"
        )
    return Verdict("fail", f"not installed: {names}", f"install them (names as in Debian), or {ELSEWHERE}")


def _memory(facts: Facts) -> Verdict:
    if any(machine.running for machine in facts.stack.machines):
        return Verdict("ok", f"{_size(facts.host.memory_available)} free beside the running machines")
    needed = MEMORY_REST + facts.site.machines * MEMORY_MACHINE
    if facts.stack.tools_missing:
        needed = max(needed, MEMORY_BUILD)
    return _enough("memory", facts.host.memory_available, needed, f"free some, or {ELSEWHERE}")


def _disk(facts: Facts) -> Verdict:
    if any(machine.running for machine in facts.stack.machines):
        return Verdict("ok", f"{_size(facts.host.disk_home)} free beside the running machines")
    needed = GIB + facts.site.machines * DISK_MACHINE
    fix = "free some, or move the stacks with ANTENNA_HOME=/another/disk"
    return _enough("disk for machines", facts.host.disk_home, needed, fix)


def _cache(facts: Facts) -> Verdict:
    missing = bool(facts.stack.tools_missing)
    needed = DISK_BUILD if missing else 0 if facts.stack.base else DISK_CACHE
    fix = "free some, or move the cache with ANTENNA_CACHE=/another/disk"
    return _enough("disk for the cache", facts.host.disk_cache, needed, fix)


def _cgroups(facts: Facts) -> Verdict:
    if facts.host.cgroups and facts.host.cgroups_writable:
        return Verdict("ok", f"{facts.host.cgroups}, writable")
    what = "not writable" if facts.host.cgroups else "not mounted"
    return Verdict("fail", f"the control groups in /sys/fs/cgroup are {what}", ELSEWHERE)


def _overlayfs(facts: Facts) -> Verdict:
    if facts.host.overlayfs:
        return Verdict("ok", "the kernel has it")
    return Verdict(
        "fail", "the kernel has no overlayfs, which machines' disks are made of", "modprobe overlay"
    )


def _tun(facts: Facts) -> Verdict:
    if facts.host.tun:
        return Verdict("ok", "/dev/net/tun")
    return Verdict("warn", "no /dev/net/tun: tunnels to remote sites will not come up", "modprobe tun")


def _go(facts: Facts) -> Verdict:
    return Verdict("ok", facts.host.go or "none on this host; the packaged toolchain is used")


def _clock(facts: Facts) -> Verdict:
    if facts.host.clock_behind <= 0:
        return Verdict("ok", "not behind this software's own files")
    days = facts.host.clock_behind / 86400
    return Verdict(
        "fail", f"the clock is {days:.1f} days behind: certificates will be refused", "chronyc makestep"
    )


def _site(facts: Facts) -> Verdict:
    site = facts.site
    if site.problem:
        return Verdict("fail", site.problem, f"edit Pulumi.{facts.stack_name}.yaml")
    counts = f"{site.machines} machines, {site.gpus} GPUs, {site.tenants} partners"
    return Verdict("ok", f"platform {site.platform}: {counts}")


def _ranges(facts: Facts) -> Verdict:
    if facts.site.problem:
        return Verdict("skip", "the site file is wrong")
    if not facts.site.clashes:
        return Verdict("ok", "free on this host")
    fix = f"choose other ranges in Pulumi.{facts.stack_name}.yaml, under site:network"
    return Verdict("fail", f"{facts.site.clashes[0]} of this host", fix)


def _lock(facts: Facts) -> Verdict:
    if not facts.stack.lock:
        return Verdict("ok", "nobody holds it")
    if facts.stack.lock_stale:
        return Verdict("warn", f"left by {facts.stack.lock}, which is gone; the next command clears it")
    return Verdict("warn", f"held by {facts.stack.lock}", "wait for it to end")


def _leftovers(facts: Facts) -> Verdict:
    found = facts.stack.leftovers
    if not found:
        return Verdict("ok", "none")
    if facts.stack.recorded:
        return Verdict("ok", "what is there belongs to the stack")
    cause = f"there is no state, yet this host has things of the stack ({', '.join(found)})"
    return Verdict("warn", cause, f"antenna down --stack {facts.stack_name}")


def _tools(facts: Facts) -> Verdict:
    if not (missing := facts.stack.tools_missing):
        return Verdict("ok", "built")
    return Verdict(
        "warn", f"not built: {', '.join(missing)}; `antenna up` builds them", "antenna tools build"
    )


def _base(facts: Facts) -> Verdict:
    if facts.stack.base:
        return Verdict("ok", "cached")
    return Verdict("warn", "not made; `antenna up` makes it in about 90 s")


def _machines(facts: Facts) -> Verdict:
    found = facts.stack.machines
    if not found:
        return Verdict("skip", "the stack is not up")
    if stopped := [m.name for m in found if not m.running]:
        return Verdict("fail", f"not running: {', '.join(stopped)}", f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{len(found)} running")


def _ssh(facts: Facts) -> Verdict:
    running = [m for m in facts.stack.machines if m.running]
    if not running:
        return Verdict("skip", "no machine runs")
    if broken := [f"{m.name}: {m.ssh}" for m in running if m.ssh]:
        return Verdict(
            "fail", "; ".join(broken), f"antenna refresh --stack {facts.stack_name}, then antenna up"
        )
    return Verdict("ok", f"{len(running)} machines answer with the host key that is known")


def _in_cluster(judge: Callable[[Facts, Cluster], Verdict]) -> Callable[[Facts], Verdict]:
    def judged(facts: Facts) -> Verdict:
        if facts.cluster is None:
            return Verdict("skip", "the stack is not up")
        if facts.cluster.problem and judge is not _api:
            return Verdict("skip", "the API server does not answer")
        return judge(facts, facts.cluster)

    return judged


def _api(facts: Facts, cluster: Cluster) -> Verdict:
    if not cluster.problem:
        return Verdict("ok", "answers")
    return Verdict("fail", cluster.problem, f"antenna up --stack {facts.stack_name}")


def _nodes(facts: Facts, cluster: Cluster) -> Verdict:
    if cluster.nodes_not_ready:
        fix = f"antenna refresh --stack {facts.stack_name}, then antenna up"
        return Verdict("fail", f"not Ready: {', '.join(cluster.nodes_not_ready)}", fix)
    if cluster.nodes < facts.site.machines:
        cause = f"{cluster.nodes} nodes for {facts.site.machines} machines"
        return Verdict("fail", cause, f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{cluster.nodes} Ready")


def _gpus(facts: Facts, cluster: Cluster) -> Verdict:
    if cluster.gpus < facts.site.gpus:
        cause = f"{cluster.gpus} GPUs can be allocated, the site has {facts.site.gpus}"
        return Verdict("fail", cause, f"antenna refresh --stack {facts.stack_name}, then antenna up")
    return Verdict("ok", f"{cluster.gpus} can be allocated")


def _kueue(facts: Facts, cluster: Cluster) -> Verdict:
    if cluster.kueue_ready:
        return Verdict("ok", "available")
    fix = f"kubectl -n kueue-system describe pods; antenna up --stack {facts.stack_name}"
    return Verdict("fail", "its Deployment is not available", fix)


def _queues(facts: Facts, cluster: Cluster) -> Verdict:
    if cluster.inactive_queues:
        fix = "kubectl describe clusterqueue"
        return Verdict("fail", f"not active: {', '.join(cluster.inactive_queues)}", fix)
    if cluster.queues < facts.site.tenants:
        cause = f"{cluster.queues} queues for {facts.site.tenants} partners"
        return Verdict("fail", cause, f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{cluster.queues} active")


def _certificates(facts: Facts, cluster: Cluster) -> Verdict:
    days = cluster.certificate_days
    if days is None:
        return Verdict("skip", "not known")
    if days < CERTIFICATE_DAYS:
        level: Level = "fail" if days <= 0 else "warn"
        return Verdict(
            level,
            f"the cluster's certificate ends in {days:.0f} days",
            "on the head: kubeadm certs renew all",
        )
    return Verdict("ok", f"the cluster's certificate is good for {days:.0f} days")


def _enough(what: str, there: int, needed: int, fix: str) -> Verdict:
    if there >= needed:
        return Verdict("ok", f"{_size(there)} free")
    return Verdict("fail", f"{what}: {_size(there)} free, {_size(needed)} needed", fix)


def _size(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"


_NSPAWN = frozenset({"embedded"})
_ALL = frozenset({"embedded", "ssh"})

CHECKS: tuple[Check, ...] = (
    Check("system", "host", _system, _NSPAWN),
    Check("root", "host", _root, _NSPAWN),
    Check("capabilities", "host", _capabilities, _NSPAWN),
    Check("programs", "host", _programs, _NSPAWN),
    Check("memory", "host", _memory, _NSPAWN),
    Check("disk", "host", _disk, _NSPAWN),
    Check("cache", "host", _cache, _ALL),
    Check("cgroups", "host", _cgroups, _NSPAWN),
    Check("overlayfs", "host", _overlayfs, _NSPAWN),
    Check("tun", "host", _tun),
    Check("go", "host", _go),
    Check("clock", "host", _clock, _ALL),
    Check("site", "site", _site),
    Check("ranges", "site", _ranges, _NSPAWN),
    Check("lock", "stack", _lock),
    Check("leftovers", "stack", _leftovers),
    Check("tools", "stack", _tools),
    Check("base", "stack", _base),
    Check("machines", "stack", _machines),
    Check("ssh", "stack", _ssh),
    Check("api", "cluster", _in_cluster(_api)),
    Check("nodes", "cluster", _in_cluster(_nodes)),
    Check("gpus", "cluster", _in_cluster(_gpus)),
    Check("kueue", "cluster", _in_cluster(_kueue)),
    Check("queues", "cluster", _in_cluster(_queues)),
    Check("certificates", "cluster", _in_cluster(_certificates)),
)
