"""How the stack and its cluster are judged, a function a check. Pure."""

from __future__ import annotations

from collections.abc import Callable

from infra.cli.checks.facts import Cluster, Facts
from infra.cli.checks.operator import judge
from infra.cli.checks.verdict import Level, Verdict
from monitoring.rules.alert import RUNBOOKS

CERTIFICATE_DAYS = 30
ADMINISTRATOR_DAYS = 3
"""`up` makes it anew when 7 days are left: a site that was not looked at for longer."""
SHOWN_FLAGS = 3


def lock(facts: Facts) -> Verdict:
    """Who works on the stack, or was killed at it."""
    if not facts.stack.lock:
        return Verdict("ok", "nobody holds it")
    if facts.stack.lock_stale:
        return Verdict("warn", f"left by {facts.stack.lock}, which is gone; the next command clears it")
    return Verdict("warn", f"held by {facts.stack.lock}", "wait for it to end")


def leftovers(facts: Facts) -> Verdict:
    """What a lost state left behind."""
    found = facts.stack.leftovers
    if not found:
        return Verdict("ok", "none")
    if facts.stack.recorded:
        return Verdict("ok", "what is there belongs to the stack")
    cause = f"there is no state, yet this host has things of the stack ({', '.join(found)})"
    return Verdict("warn", cause, f"antenna down --stack {facts.stack_name}")


def tools(facts: Facts) -> Verdict:
    """The pinned tools are in the cache."""
    if not (missing := facts.stack.tools_missing):
        return Verdict("ok", "built")
    return Verdict(
        "warn", f"not built: {', '.join(missing)}; `antenna up` builds them", "antenna tools build"
    )


def base(facts: Facts) -> Verdict:
    """The machines' base is in the cache."""
    if facts.stack.base:
        return Verdict("ok", "cached")
    return Verdict("warn", "not made; `antenna up` makes it in about 90 s")


def machines(facts: Facts) -> Verdict:
    """All machines that were made run."""
    found = facts.stack.machines
    if not found:
        return Verdict("skip", "the stack is not up")
    if stopped := [m.name for m in found if not m.running]:
        return Verdict("fail", f"not running: {', '.join(stopped)}", f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{len(found)} running")


def ssh(facts: Facts) -> Verdict:
    """Each machine answers with the host key that is known."""
    running = [m for m in facts.stack.machines if m.running]
    if not running:
        return Verdict("skip", "no machine runs")
    if broken := [f"{m.name}: {m.ssh}" for m in running if m.ssh]:
        return Verdict(
            "fail", "; ".join(broken), f"antenna refresh --stack {facts.stack_name}, then antenna up"
        )
    return Verdict("ok", f"{len(running)} machines answer with the host key that is known")


def links(facts: Facts) -> Verdict:
    """Every tunnel is up. That says nothing of the site behind it."""
    if not facts.stack.links:
        return Verdict("skip", "the stack has no links")
    if facts.stack.links_down:
        fix = f"antenna links --stack {facts.stack_name}, then antenna up"
        return Verdict("fail", "; ".join(facts.stack.links_down), fix)
    return Verdict("ok", f"{facts.stack.links} up")


def people(facts: Facts) -> Verdict:
    """The provider of people answers as the site names it, and knows the login by device code."""
    if not facts.stack.recorded:
        return Verdict("skip", "the stack is not up")
    if not facts.stack.issuer:
        return Verdict("skip", "the site names no issuer: nobody but its administrators can log in")
    if facts.stack.issuer_fault:
        fix = f"antenna up --refresh --stack {facts.stack_name}; docs/people.md"
        return Verdict("fail", facts.stack.issuer_fault, fix)
    return Verdict("ok", f"{facts.stack.issuer} answers")


def in_cluster(judge: Callable[[Facts, Cluster], Verdict]) -> Callable[[Facts], Verdict]:
    """A check that has nothing to judge while the cluster is not there."""

    def judged(facts: Facts) -> Verdict:
        if facts.cluster is None:
            return Verdict("skip", "the stack is not up")
        if facts.cluster.problem and judge is not api:
            return Verdict("skip", "the API server does not answer")
        return judge(facts, facts.cluster)

    return judged


def api(facts: Facts, cluster: Cluster) -> Verdict:
    """The API server answers."""
    if not cluster.problem:
        return Verdict("ok", "answers")
    return Verdict("fail", cluster.problem, f"antenna up --stack {facts.stack_name}")


def nodes(facts: Facts, cluster: Cluster) -> Verdict:
    """Every machine is a node, and Ready."""
    if cluster.nodes_not_ready:
        fix = f"antenna refresh --stack {facts.stack_name}, then antenna up"
        return Verdict("fail", f"not Ready: {', '.join(cluster.nodes_not_ready)}", fix)
    if cluster.nodes < facts.site.nodes:
        cause = f"{cluster.nodes} nodes for {facts.site.nodes} machines"
        return Verdict("fail", cause, f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{cluster.nodes} Ready")


def gpus(facts: Facts, cluster: Cluster) -> Verdict:
    """All GPUs of the site can be allocated."""
    if cluster.gpus < facts.site.gpus:
        cause = f"{cluster.gpus} GPUs can be allocated, the site has {facts.site.gpus}"
        return Verdict("fail", cause, f"antenna refresh --stack {facts.stack_name}, then antenna up")
    return Verdict("ok", f"{cluster.gpus} can be allocated")


def kueue(facts: Facts, cluster: Cluster) -> Verdict:
    """Kueue is available."""
    if cluster.kueue_ready:
        return Verdict("ok", "available")
    fix = f"kubectl -n kueue-system describe pods; antenna up --stack {facts.stack_name}"
    return Verdict("fail", "its Deployment is not available", fix)


def operator(facts: Facts, cluster: Cluster) -> Verdict:
    """The operator runs, is ready, and knows what is so now."""
    return judge(cluster.operator, f"antenna up --stack {facts.stack_name}")


def queues(facts: Facts, cluster: Cluster) -> Verdict:
    """Every partner has a queue, and it is active."""
    if cluster.inactive_queues:
        fix = "kubectl describe clusterqueue"
        return Verdict("fail", f"not active: {', '.join(cluster.inactive_queues)}", fix)
    if cluster.queues < facts.site.tenants:
        cause = f"{cluster.queues} queues for {facts.site.tenants} partners"
        return Verdict("fail", cause, f"antenna up --stack {facts.stack_name}")
    return Verdict("ok", f"{cluster.queues} active")


def remote_sites(facts: Facts, cluster: Cluster) -> Verdict:
    """Every remote site's scheduler answers, and lets in the login of each partner with a project there.

    A maintenance there is not ours to mend: a warning.
    """
    if not cluster.remote_sites:
        return Verdict("skip", "the site has none")
    if cluster.unasked:
        return Verdict("warn", cluster.unasked, "the row `operator` has the fix")
    if cluster.silent_sites:
        fix = "antenna links; docs/runbooks/AntennaRemoteSourceStale.md"
        return Verdict("warn", "; ".join(cluster.silent_sites), fix)
    if cluster.partners_shut_out:
        fix = "docs/remote-jobs.md, Credentials: a login a partner in Secret antenna-remote-credentials"
        return Verdict("warn", "; ".join(cluster.partners_shut_out), fix)
    answer = cluster.remote_sites - len(cluster.sites_not_asked)
    beside = f", not asked: {'; '.join(cluster.sites_not_asked)}" if cluster.sites_not_asked else ""
    return Verdict("ok", f"{answer} answer{beside}")


def certificates(facts: Facts, cluster: Cluster) -> Verdict:
    """The API server's certificate is good for a while, and the administrator's for some days."""
    up = f"antenna up --stack {facts.stack_name}"
    days, own = cluster.certificate_days, cluster.administrator_days
    if own is not None and own < ADMINISTRATOR_DAYS:
        level: Level = "fail" if own <= 0 else "warn"
        return Verdict(level, f"the administrator's certificate ends in {own:.0f} days", up)
    if days is None:
        return Verdict("skip", "not known")
    if days < CERTIFICATE_DAYS:
        cause = f"the cluster's certificate ends in {days:.0f} days"
        return Verdict("fail" if days <= 0 else "warn", cause, "on the head: kubeadm certs renew all")
    beside = "" if own is None else f", the administrator's for {own:.0f}"
    return Verdict("ok", f"the cluster's certificate is good for {days:.0f} days{beside}")


def network_policies(facts: Facts, cluster: Cluster) -> Verdict:
    """Somebody decides about connections of every node's pods; while nobody does, none is made."""
    if not cluster.network_silent:
        return Verdict("ok", "decided about on every node that is Ready")
    fix = f"antenna up --refresh --stack {facts.stack_name}; docs/runbooks/AntennaNetworkPolicyDown.md"
    return Verdict("fail", f"pods get no new connections: {'; '.join(cluster.network_silent)}", fix)


def alerts(facts: Facts, cluster: Cluster) -> Verdict:
    """Nothing critical fires, and alerts reach somebody."""
    if not cluster.alerts_sent:
        cause = "alerts are sent to nobody: the site's file has no site:oncall"
        return Verdict("warn", cause, "docs/monitoring.md, Whom alerts reach")
    if cluster.alerts_silent:
        fix = f"kubectl -n antenna-monitoring describe pods; {RUNBOOKS}/AntennaWatchdog.md"
        return Verdict("fail", f"alerts reach nobody: {cluster.alerts_silent}", fix)
    if cluster.critical:
        return Verdict("fail", "; ".join(cluster.critical), f"antenna alerts --stack {facts.stack_name}")
    return Verdict("ok", "nothing critical fires")


def control_plane(facts: Facts, cluster: Cluster) -> Verdict:
    """What runs has the flags of the table (playbooks/roles/kubernetes/files/control_plane.yml)."""
    if found := cluster.flags_differ:
        more = f" and {len(found) - SHOWN_FLAGS} more" if len(found) > SHOWN_FLAGS else ""
        fix = f"antenna up --refresh --stack {facts.stack_name}; docs/security-cis.md"
        return Verdict("fail", f"{'; '.join(found[:SHOWN_FLAGS])}{more}", fix)
    return Verdict("ok", f"{cluster.flags} flags as declared")
