"""``RemoteJob``: a batch job for a remote site, which waits in its partner's queue like any other work."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from operators.api.condition import Conditions
from operators.api.names import ANY, REMOTE_JOB
from operators.api.remote_site import PartitionName, Positive
from operators.api.values import Model, ObjectName, rules

KIND: Final = REMOTE_JOB
PLURAL: Final = "remotejobs"
SCRIPT_LENGTH: Final = 65536  # characters; etcd takes 1.5 MiB in all
NAME_LENGTH: Final = 100
LOG_LENGTH: Final = 4096  # characters

State = Literal["pending", "running", "succeeded", "failed", "cancelled"]
# What can be passed on everywhere without quoting; a relative path begins at the account's home.
_STEP: Final = "[A-Za-z0-9_][A-Za-z0-9._@+-]*"
Path = Annotated[str, Field(pattern=f"^/?{_STEP}(/{_STEP})*$", max_length=512)]

_SPANNING: Final = (
    (
        "self.site == 'any' || has(self.partition)",
        "name the partition, or let site be any: a site alone does not say where the job goes",
    ),
    (
        "self.site != 'any' || has(self.gpusPerNode) || has(self.cores)",
        "site any needs gpusPerNode or cores: without, a job asks for whole nodes, and those differ",
    ),
)


class RemoteJobSpec(Model):
    """What to run, and where it may. It cannot be changed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *_SPANNING, ("self == oldSelf", "is immutable: delete the RemoteJob, and make another")
        )
    )

    site: ObjectName = ANY
    """A RemoteSite, or any: the first that has room and budget."""
    partition: PartitionName | None = None
    """One of the site's."""
    nodes: Positive = 1
    """How many nodes."""
    gpus_per_node: int | None = Field(default=None, ge=0, le=1024, alias="gpusPerNode")
    """As the site's scheduler counts them. Absent: all of a whole node, none elsewhere."""
    cores: Positive | None = None
    """Cores of each node. Absent: all of a whole node, the partition's default elsewhere."""
    memory_gib: Positive | None = Field(default=None, alias="memoryGiB")
    """Memory of each node. Absent: all of a whole node, the partition's default elsewhere."""
    time_limit: str = Field(
        alias="timeLimit",
        min_length=2,
        max_length=32,
        pattern=r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$",
    )
    """How long it may run: 90m, 1h30m, 45s."""
    script: str = Field(min_length=1, max_length=SCRIPT_LENGTH)
    """The batch script. Lines that begin with #SBATCH are not directives."""
    directory: Path | None = None
    """Where it runs. Absent: a folder of its own below the account's home."""
    input: tuple[Path, ...] = Field(default=(), max_length=32)
    """Files at the site that it reads: without one of them the script is not started, and the job fails."""
    output: tuple[Path, ...] = Field(default=(), max_length=32)
    """Files at the site that it writes: without one of them a script that ended well has failed."""
    queue: ObjectName = "default"
    """The LocalQueue that it waits in."""

    @model_validator(mode="after")
    def _placed(self) -> RemoteJobSpec:
        if self.site != ANY and self.partition is None:
            raise ValueError(_SPANNING[0][1])
        if self.site == ANY and self.gpus_per_node is None and self.cores is None:
            raise ValueError(_SPANNING[1][1])
        return self


class Attempt(Model):
    """A submission that was decided on: written before the site is asked, so that no cut forgets it."""

    number: int = Field(ge=1)
    """1, and one more each time that the job has ended at the site and is to run again."""
    name: str = Field(max_length=64)
    """The job's name at the site, by which it is found again."""
    since: int = Field(ge=0)
    """Seconds since the epoch; the site has no job of that name from before."""
    asked: int = Field(ge=0)
    """When the latest submission was decided on."""
    asks: int = Field(default=1, ge=1)
    """How many submissions were decided on; more than one where the site had certainly taken none."""
    writer: str = Field(default="", max_length=128)
    """Who decided: holder and term of the leadership."""
    site: ObjectName
    """Where to."""
    partition: PartitionName
    """Of the site's."""
    project: str = Field(max_length=63)
    """The partner's project there."""
    login: str = Field(default="", max_length=64)
    """The partner's login there, which submits it. Empty: the one that an earlier build had for everybody."""
    id: int | None = Field(default=None, ge=0)
    """The site's job id, once it is known. Ids are used again after a counter's reset."""
    submitted: int | None = Field(default=None, ge=0)
    """The site's own stamp of the submission: with the id it is this job and no other."""


class RemoteJobStatus(Model):
    """How it stands. Times of the site are seconds of its clock."""

    observed_generation: int = Field(default=0, alias="observedGeneration", ge=0)
    state: State = "pending"
    """As on every metric."""
    reason: str = Field(default="", max_length=128)
    """Why it is so, in one word."""
    message: str = Field(default="", max_length=1024)
    """Why, in a sentence."""
    site: str = Field(default="", max_length=63)
    """Where it is or goes."""
    partition: str = Field(default="", max_length=63)
    """Of the site's."""
    flavor: str = Field(default="", max_length=63)
    """The flavor that Kueue admitted it on."""
    slurm_id: int | None = Field(default=None, alias="slurmId", ge=0)
    """The site's job id."""
    exit_code: int | None = Field(default=None, alias="exitCode")
    """Of the script."""
    signal: int | None = None
    """That ended it."""
    submit_time: datetime | None = Field(default=None, alias="submitTime")
    """When the site took it."""
    start_time: datetime | None = Field(default=None, alias="startTime")
    """When it began to run."""
    end_time: datetime | None = Field(default=None, alias="endTime")
    """When it ended."""
    queue_position: int | None = Field(default=None, alias="queuePosition", ge=0)
    """Place among the pending jobs of the partition; 1 is next."""
    start_estimate: datetime | None = Field(default=None, alias="startEstimate")
    """When the site means to start it."""
    log_tail: str = Field(default="", alias="logTail", max_length=LOG_LENGTH)
    """The end of its output."""
    attempt: Attempt | None = None
    """How it is, or was, submitted."""
    conditions: Conditions = ()
    """Accepted: the spec can be carried out. Admitted: Kueue let it go. Submitted: the site has it.
    Finished: it has ended."""


class RemoteJob(Model):
    """A batch job for a remote site."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.metadata.name.size() <= {NAME_LENGTH}",
                f"metadata.name: at most {NAME_LENGTH} characters",
            ),
        )
    )

    spec: RemoteJobSpec
    status: RemoteJobStatus | None = None
