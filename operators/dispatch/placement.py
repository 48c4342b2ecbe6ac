"""Where a RemoteJob may go, or why nowhere: the partitions that fit it and that its partner can pay. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Final

from operators.api.names import ANY
from operators.api.remote_job import RemoteJobSpec
from operators.sites.flavors import flavor_name, paid_by
from operators.sites.model import Partition, Site
from operators.tenancy import Allocation

_TIME: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Refused(ValueError):  # noqa: N818 (what happens to the job)
    """The job cannot be carried out. ``reason`` is one word; the message ends with what would be right."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Place:
    """A partition that a job may run in, as what is asked there, and who pays."""

    site: str
    partition: str
    project: str
    unit: str
    whole_nodes: bool
    nodes: int
    gpus_per_node: int
    cores_per_node: int | None
    """None: the partition's default."""
    memory_gib_per_node: int | None

    @property
    def flavor(self) -> str:
        """The flavor in Kueue."""
        return flavor_name(self.site, self.partition)


def places(
    spec: RemoteJobSpec, sites: Mapping[str, Site], allocations: Iterable[Allocation], today: date
) -> tuple[Place, ...]:
    """The places that fit, in the order of the sites' entries. Raises Refused where there is none.

    Of a job for ``any`` the refusal is that of the partition which comes nearest to fitting.
    """
    grants = tuple(allocations)
    found: list[Place] = []
    refusals: list[Refused] = []
    for site, partition in _asked_for(spec, sites):
        try:
            found.append(_place(spec, site, partition, grants, today))
        except Refused as refusal:
            if spec.site != ANY:
                raise
            refusals.append(refusal)
    if not found:
        nearest = max(refusals, key=lambda refusal: _NEARNESS.index(refusal.reason))
        raise Refused(nearest.reason, f"no partition fits; the nearest: {nearest}")
    # Those that cannot be paid for are not listed, so a job of several sizes asks for one and the same.
    return tuple(found)


def seconds(time_limit: str) -> int:
    """A time limit (``1h30m``) in seconds."""
    match = _TIME.fullmatch(time_limit)
    hours, minutes, rest = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    return hours * 3600 + minutes * 60 + rest


def shown(duration: int) -> str:
    """Seconds as a time limit is written."""
    hours, rest = divmod(duration, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


# How near each refusal comes to an acceptance: the checks in their order.
_NEARNESS: Final = (
    "UnknownSite",
    "UnknownPartition",
    "NoProject",
    "NotOwnFiles",
    "BadTimeLimit",
    "TooLong",
    "TooManyNodes",
    "TooManyGPUs",
    "TooManyCores",
    "TooMuchMemory",
    "NoGPUs",
    "WholeNodes",
)


def _asked_for(spec: RemoteJobSpec, sites: Mapping[str, Site]) -> list[tuple[Site, Partition]]:
    if not sites:
        raise Refused("UnknownSite", "this Antenna has no remote site yet: its administrators declare them")
    if spec.site != ANY and spec.site not in sites:
        raise Refused("UnknownSite", f"there is no site {spec.site}; {_nearest(spec.site, [*sites, ANY])}")
    chosen = sites.values() if spec.site == ANY else (sites[spec.site],)
    found = [
        (site, partition)
        for site in chosen
        for partition in site.partitions
        if spec.partition in (None, partition.name)
    ]
    if not found:
        names = [partition.name for site in chosen for partition in site.partitions]
        whose = "no site" if spec.site == ANY else sites[spec.site].title
        raise Refused(
            "UnknownPartition",
            f"{whose} has {'a' if spec.site == ANY else 'no'} partition {spec.partition}; "
            f"{_nearest(spec.partition or '', names)}",
        )
    return found


def _place(
    spec: RemoteJobSpec, site: Site, partition: Partition, grants: tuple[Allocation, ...], today: date
) -> Place:
    """The job in this partition. Raises Refused; the checks in the order of _NEARNESS."""
    where = f"{site.title} {partition.name}"
    grant = _grant(site, partition, grants, today)
    _inside(spec, site, grant.project)
    limit = seconds(spec.time_limit)
    if limit == 0:
        raise Refused("BadTimeLimit", f"timeLimit {spec.time_limit} is no time at all; write 1h, 30m or 90s")
    if limit > partition.max_seconds:
        longest = shown(partition.max_seconds)
        raise Refused(
            "TooLong",
            f"timeLimit {spec.time_limit} is over the limit of {where}; at most {longest}"
            + _longer(site, limit, grants, today),
        )
    if spec.nodes > partition.max_nodes:
        raise Refused(
            "TooManyNodes", f"nodes {spec.nodes} is over the limit of {where}; at most {partition.max_nodes}"
        )
    bounds = (
        ("TooManyGPUs", "gpusPerNode", spec.gpus_per_node, partition.gpus_per_node),
        ("TooManyCores", "cores", spec.cores, partition.cores_per_node),
        ("TooMuchMemory", "memoryGiB", spec.memory_gib, partition.memory_gib_per_node),
    )
    for reason, name, asked, there in bounds:
        if asked is not None and there is not None and asked > there:
            raise Refused(reason, f"{name} {asked} is more than a node of {where} has; at most {there}")
    if partition.whole_nodes:
        _whole(spec, partition, where)
        gpus = partition.gpus_per_node
    else:
        gpus = spec.gpus_per_node or 0
        if partition.gpus_per_node and not gpus:
            raise Refused(
                "NoGPUs", f"{where} is for work with GPUs; gpusPerNode: 1 to {partition.gpus_per_node}"
            )
    return Place(
        site=site.name,
        partition=partition.name,
        project=grant.project,
        unit=grant.unit,
        whole_nodes=partition.whole_nodes,
        nodes=spec.nodes,
        gpus_per_node=gpus,
        cores_per_node=partition.cores_per_node if partition.whole_nodes else spec.cores,
        memory_gib_per_node=partition.memory_gib_per_node if partition.whole_nodes else spec.memory_gib,
    )


def _inside(spec: RemoteJobSpec, site: Site, project: str) -> None:
    """A job is about files of its partner's: in its login's home, or where its project's files lie."""
    own = [pattern.replace("{project}", project) for pattern in site.project_directories]
    named = [("directory", spec.directory)] if spec.directory else []
    named += [("input", path) for path in spec.input] + [("output", path) for path in spec.output]
    for name, path in named:
        if path.startswith("/") and not any(f"{path}/".startswith(f"{root}/") for root in own):
            where = f" or in {', '.join(own)}" if own else ""
            raise Refused(
                "NotOwnFiles",
                f"{name} {path} is not the partner's own at {site.title}; name a path from the login's home"
                f"{where}",
            )


def _whole(spec: RemoteJobSpec, partition: Partition, where: str) -> None:
    """A whole-node partition bills all of a node: who asks for a part would pay for what is not had."""
    parts = (
        ("gpusPerNode", spec.gpus_per_node, partition.gpus_per_node),
        ("cores", spec.cores, partition.cores_per_node),
        ("memoryGiB", spec.memory_gib, partition.memory_gib_per_node),
    )
    for name, asked, whole in parts:
        if asked is not None and asked != whole:
            right = f"leave {name} out" + (f", or ask for {whole}" if whole else "")
            raise Refused(
                "WholeNodes",
                f"{where} gives and bills whole nodes and cannot bill {name} {asked} of each; {right}",
            )


def _grant(site: Site, partition: Partition, grants: tuple[Allocation, ...], today: date) -> Allocation:
    """The partner's allocation that pays here: the first that runs today."""
    paying = [grant for grant in grants if partition in paid_by(grant, site)]
    if now := next((grant for grant in paying if grant.start <= today <= grant.end), None):
        return now
    if not paying:
        elsewhere = sorted({grant.site for grant in grants})
        has = f"; it has one at {', '.join(elsewhere)}" if elsewhere else ""
        raise Refused(
            "NoProject",
            f"the partner has no project at {site.title} that pays {partition.billing.unit}{has}",
        )
    last = max(paying, key=lambda grant: grant.end)
    when = f"ended on {last.end}" if last.end < today else f"begins on {min(g.start for g in paying)}"
    raise Refused("NoProject", f"the partner's project {last.project} at {site.title} {when}")


def _longer(site: Site, limit: int, grants: tuple[Allocation, ...], today: date) -> str:
    """A partition of the site that allows it and that can be paid, where there is one."""
    for partition in site.partitions:
        if partition.max_seconds >= limit and any(partition in paid_by(grant, site) for grant in grants):
            return f"; {partition.name} allows {shown(partition.max_seconds)}"
    return ""


def _nearest(name: str, names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    if close := get_close_matches(name, known, 1, 0.5):
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(known)}"
