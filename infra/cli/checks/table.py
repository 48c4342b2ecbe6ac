"""Everything that can be wrong, a row each: how it is judged, and its fix. Pure.

`doctor` shows all rows; `up` refuses the host on the rows that its platform needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from infra.cli.checks import host, stack
from infra.cli.checks.facts import Facts
from infra.cli.checks.verdict import Verdict


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


def failures_of_cluster(facts: Facts) -> list[Finding]:
    """What is wrong with the cluster, for the end of `up`."""
    found = run(facts, [check for check in CHECKS if check.about == "cluster"])
    return [finding for finding in found if finding.verdict.level == "fail"]


def is_mended_by_time(facts: Facts) -> bool:
    """Whether what is wrong with the cluster may pass by itself: not where nobody asked for it."""
    cluster = facts.cluster
    return cluster is None or bool(cluster.problem) or cluster.operator.wanted > 0


_NSPAWN = frozenset({"embedded"})
_ALL = frozenset({"embedded", "ssh"})

CHECKS: tuple[Check, ...] = (
    Check("system", "host", host.system, _NSPAWN),
    Check("root", "host", host.root, _NSPAWN),
    Check("capabilities", "host", host.capabilities, _NSPAWN),
    Check("programs", "host", host.programs, _NSPAWN),
    Check("memory", "host", host.memory, _NSPAWN),
    Check("disk", "host", host.disk, _NSPAWN),
    Check("cache", "host", host.cache, _ALL),
    Check("cgroups", "host", host.cgroups, _NSPAWN),
    Check("overlayfs", "host", host.overlayfs, _NSPAWN),
    Check("tun", "host", host.tun),
    Check("go", "host", host.go),
    Check("clock", "host", host.clock, _ALL),
    Check("site", "site", host.site),
    Check("ranges", "site", host.ranges, _NSPAWN),
    Check("lock", "stack", stack.lock),
    Check("leftovers", "stack", stack.leftovers),
    Check("tools", "stack", stack.tools),
    Check("base", "stack", stack.base),
    Check("machines", "stack", stack.machines),
    Check("ssh", "stack", stack.ssh),
    Check("links", "stack", stack.links),
    Check("people", "stack", stack.people),
    Check("api", "cluster", stack.in_cluster(stack.api)),
    Check("nodes", "cluster", stack.in_cluster(stack.nodes)),
    Check("gpus", "cluster", stack.in_cluster(stack.gpus)),
    Check("kueue", "cluster", stack.in_cluster(stack.kueue)),
    Check("operator", "cluster", stack.in_cluster(stack.operator)),
    Check("queues", "cluster", stack.in_cluster(stack.queues)),
    Check("remote-sites", "cluster", stack.in_cluster(stack.remote_sites)),
    Check("certificates", "cluster", stack.in_cluster(stack.certificates)),
    Check("network-policies", "cluster", stack.in_cluster(stack.network_policies)),
    Check("control-plane", "cluster", stack.in_cluster(stack.control_plane)),
    # No part of the cluster, whose failures `up` ends with: what fires may be older than what `up` mended.
    Check("alerts", "alerts", stack.in_cluster(stack.alerts)),
)
