"""sbatch's words when the scheduler has certainly refused, and what that is about. Pure.

Whatever else it says, the job may be there. The texts are slurm_errno's (Slurm's src/common/slurm_errno.c),
the same for many years. Not among the refusals: timeouts, lost connections and anything unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from operators.sites.access import Lasting, Rejected

_FAILED = re.compile(
    r"^sbatch: error: (?:Batch job submission failed|Unable to allocate resources): (.+)$", re.M
)

# The limit that a policy's refusal is about, in a line of its own (job_state_reason_string: _get_limit_str).
_LIMIT = re.compile(r"^sbatch: error: ((?:Assoc|QOS)[A-Za-z]+)$", re.M)

# sbatch's own while it waits to ask again; it is ended then.
_WAITS = re.compile(
    r"^sbatch: error: (?:Slurm temporarily unable to accept job|Slurm job queue full"
    r"|Job creation temporarily disabled)",
    re.M,
)

# sbatch's own, said before it asks anybody.
_BEFORE = re.compile(
    r"^sbatch: (?:unrecognized option .*|option .* requires an argument|fatal: .*"
    r"|error: (?:This does not look like a batch script.*|Invalid --[a-z-]+ specification"
    r"|Batch script is empty!|Invalid directive found in batch script.*))$",
    re.M,
)

_POLICY: Final = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"

REFUSALS: Final[Mapping[str, Lasting]] = {
    **dict.fromkeys(
        (
            "Access/permission denied",
            "Invalid account or account/partition combination specified",
            "Invalid account specified",
            "Invalid feature specification",
            "Invalid generic resource (gres) specification",
            "Invalid job array specification",
            "Invalid job name",
            "Invalid license specification",
            "Invalid node count specified",
            "Invalid partition name specified",
            "Invalid qos specification",
            "Invalid time limit specified",
            "Invalid Trackable RESource (TRES) specification",
            "Invalid user id",
            "Job dependency problem",
            "Job size specification needs to be provided",
            "Job's account not permitted to use this partition",
            "Memory required by task is not available",
            "Memory specification can not be satisfied",
            "More processors requested than permitted",
            "Node count specification invalid",
            "Pathname of a file, directory or other parameter too long",
            "Requested node configuration is not available",
            "Requested time limit is invalid (missing or exceeds some limit)",
            "Script too long",
            "Unspecified error",
            "User's group not permitted to use this partition",
            "CPU count per node can not be satisfied",
        ),
        Lasting.FOR_GOOD,
    ),
    **dict.fromkeys(
        (
            # With it a line that names the limit: of those only one of jobs passes by itself.
            _POLICY,
            "Requested partition configuration not available now",
            "Requested reservation not usable now",
            "Required node not available (down, drained or reserved)",
        ),
        Lasting.FOR_NOW,
    ),
    **dict.fromkeys(
        (
            "Required partition not available (inactive or drain)",
            "Requested operation is presently disabled",
            "System submissions disabled",
        ),
        Lasting.OF_THE_SITE,
    ),
}
"""``Unspecified error`` is how a site's own submit filter refuses; it comes from slurmctld."""

SECONDS: Final[Mapping[Lasting, float]] = {
    Lasting.FOR_GOOD: 60,
    Lasting.FOR_NOW: 60,
    Lasting.OF_THE_SITE: 300,
    Lasting.UNCLEAR: 60,
}
"""After which another try may be worth it, the first time."""

UNANSWERED: Final = frozenset(
    {
        "Communication connection failure",
        "Communication shutdown failure",
        "Connection refused",
        "Connection reset by peer",
        "Connection timed out",
        "Message receive failure",
        "Message send failure",
        "Protocol authentication error",
        "Slurm backup controller in standby mode",
        "Slurm backup controller operating as primary",
        "Socket timed out on send/recv operation",
        "Transport endpoint is not connected",
        "Unable to contact slurm controller",
        "Unable to contact slurm controller (connect failure)",
        "Unable to contact slurm controller (receive failure)",
        "Unable to contact slurm controller (send failure)",
        "Unable to contact slurm controller (shutdown failure)",
        "Unexpected message received",
        "Zero Bytes were transmitted or received",
    }
)
"""What sbatch says where slurmctld itself did not answer."""


def refusal(errors: str) -> Rejected | None:
    """The refusal that sbatch's errors (standard error, exit code 1) are; None where they may not be one."""
    failed = [reason.strip() for reason in _FAILED.findall(errors)]
    if failed:
        if not all(reason in REFUSALS for reason in failed):
            return None
        said = [line.removeprefix("sbatch: error: ") for line in errors.splitlines() if line.strip()]
        lasting = _lasting(failed, _LIMIT.findall(errors))
        return Rejected("; ".join(said)[:400], lasting, SECONDS[lasting])
    before = _BEFORE.search(errors)
    if before is None:
        return None
    return Rejected(before[0].removeprefix("sbatch: "), seconds=SECONDS[Lasting.FOR_GOOD])


def answered(errors: str) -> bool:
    """Whether the scheduler said something, known or not: then it works, whatever became of the job."""
    failed = [reason.strip() for reason in _FAILED.findall(errors)]
    return bool(_WAITS.search(errors)) or (bool(failed) and UNANSWERED.isdisjoint(failed))


def _lasting(failed: list[str], limits: list[str]) -> Lasting:
    """For good, whatever else was said; so is a limit on the job itself, unlike one on how many there are."""
    kinds = {REFUSALS[reason] for reason in failed}
    if _POLICY in failed and limits and not any("Submit" in limit for limit in limits):
        return Lasting.FOR_GOOD
    return next(one for one in (Lasting.FOR_GOOD, Lasting.OF_THE_SITE, Lasting.FOR_NOW) if one in kinds)
