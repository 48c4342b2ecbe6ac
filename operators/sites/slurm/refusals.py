"""sbatch's words when the scheduler has certainly refused. Whatever else it says, the job may be there. Pure.

The texts are slurm_errno's (Slurm's src/common/slurm_errno.c), the same for many years. Not among them:
timeouts, lost connections and anything unknown.
"""

from __future__ import annotations

import re
from typing import Final

_FAILED = re.compile(
    r"^sbatch: error: (?:Batch job submission failed|Unable to allocate resources): (.+)$", re.M
)

# sbatch's own, said before it asks anybody.
_BEFORE = re.compile(
    r"^sbatch: (?:unrecognized option .*|option .* requires an argument|fatal: .*"
    r"|error: (?:This does not look like a batch script.*|Invalid --[a-z-]+ specification"
    r"|Batch script is empty!|Invalid directive found in batch script.*))$",
    re.M,
)

REFUSALS: Final = frozenset(
    {
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
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "Job's account not permitted to use this partition",
        "Memory required by task is not available",
        "Memory specification can not be satisfied",
        "More processors requested than permitted",
        "Node count specification invalid",
        "Pathname of a file, directory or other parameter too long",
        "Requested node configuration is not available",
        "Requested operation is presently disabled",
        "Requested partition configuration not available now",
        "Requested reservation not usable now",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Script too long",
        "Unspecified error",
        "User's group not permitted to use this partition",
        "CPU count per node can not be satisfied",
    }
)
"""``Unspecified error`` is how a site's own submit filter refuses; it comes from slurmctld."""


def refusal(errors: str) -> str:
    """Why sbatch's errors (standard error, exit code 1) are a refusal; empty where they may not be one."""
    failed = _FAILED.findall(errors)
    if failed:
        if not all(reason.strip() in REFUSALS for reason in failed):
            return ""
        said = [line.removeprefix("sbatch: error: ") for line in errors.splitlines() if line.strip()]
        return "; ".join(said)[:400]
    before = _BEFORE.search(errors)
    return before[0].removeprefix("sbatch: ") if before else ""
