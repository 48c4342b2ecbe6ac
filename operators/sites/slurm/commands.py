"""What is asked of a remote Slurm: one command line a question, whole, and safe to hand to any login shell.

Each line runs its parts under ``sh``, whatever the account's own shell is, in an environment that no profile
bends (``SBATCH_PARTITION``, ``SQUEUE_FORMAT``, ...), with times in seconds since the epoch. Around the parts
it prints marks that carry a token made for this one question:

    <token> begin SECONDS      the remote clock
    ... what the first part printed ...
    <token> ended CODE
    ... what the second part printed ...
    <token> ended CODE

After a part that failed there is no other. An answer without all its marks is no answer. The same token
stands between fields, so that nothing that a user calls a job can be taken for a field or a row: it was
chosen after the job was named.

Nothing of a user becomes an option or a directive: options are ``--name=value`` in one quoted word each, of
values that match strict patterns, and the script is data in a script of ours.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from operators.sites.access import Rejected, Submission

MOST_SCRIPT_BYTES: Final = 1 << 20
"""Of a user's script. Slurm's own limit is 4 MiB by default, and base64 adds a third."""

REMOTE_SECONDS: Final = 30
"""A command on the remote side is ended after so long, whether we still listen or not."""

KILL_AFTER_SECONDS: Final = 2
"""And by force so much later."""

MOST_IDS: Final = 5_000
"""Jobs of one question: Linux takes no word of a command that is longer than 128 KiB."""

CUT, LATE, NO_FOLDER, OVER = 75, 76, 77, 78
"""Exit codes of our own lines: the script did not arrive whole, nor in time; no folder; the job is over."""

NO_INPUT, NO_OUTPUT = 66, 73
"""Exit codes of a job: what it was to read is not there; nor is what it was to write (sysexits.h)."""

_FOLDERS = "antenna"
"""Below a login's home: a folder of each job that names no directory."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/=@+-]{0,254}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATH = re.compile(r"/?[A-Za-z0-9_][A-Za-z0-9._@+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._@+-]*)*")
_TOKEN = re.compile(r"x[0-9a-f]{20,}")

SQUEUE_FIELDS: Final = (
    ("JobID", "JOBID"),
    ("Name", "NAME"),
    ("Comment", "COMMENT"),
    ("Account", "ACCOUNT"),
    ("Partition", "PARTITION"),
    ("UserName", "USER"),
    ("State", "STATE"),
    ("SubmitTime", "SUBMIT_TIME"),
    ("StartTime", "START_TIME"),
    ("EndTime", "END_TIME"),
    ("NumNodes", "NODES"),
    ("tres-alloc", "TRES_ALLOC"),
    ("Reason", "REASON"),
    ("TimeLimit", "TIME_LIMIT"),
    ("ArrayTaskID", "ARRAY_TASK_ID"),
    ("TimeUsed", "TIME"),
)
"""What squeue is asked for, and the head that it prints over it."""

SACCT_FIELDS: Final = (
    *("JobIDRaw", "JobName", "Comment", "Account", "Partition", "User", "State", "Submit", "Start", "End"),
    *("NNodes", "AllocTRES", "ReqTRES", "ExitCode", "Reason", "TimelimitRaw", "ElapsedRaw"),
)

SSHARE_FIELDS: Final = ("Account", "User", "GrpTRESMins", "GrpTRESRaw")

PENDING_FIELDS: Final = (("JobID", "JOBID"), ("Partition", "PARTITION"), ("ArrayTaskID", "ARRAY_TASK_ID"))

SINFO_FIELDS: Final = (("Partition", "PARTITION"), ("StateLong", "STATE"), ("Nodes", "NODES"))


@dataclass(frozen=True)
class Command:
    """One line for the remote login shell, and what goes to its standard input."""

    line: str
    token: str
    parts: int
    stdin: bytes = b""


def queue(token: str, projects: Sequence[str], partitions: Sequence[str]) -> Command:
    """Two parts: all jobs of the projects that slurmctld knows; what waits in the partitions, first next.

    Ended jobs stay in slurmctld's memory for its ``MinJobAge`` (300 s by default): with them in the answer,
    a job that is not in it at all says that the answer is not whole.
    """
    ours = ["squeue", "--states=all", f"--account={_accounts(projects)}", _format(SQUEUE_FIELDS, token)]
    where = f"--partition={_partitions(partitions)}"
    waiting = ["squeue", "--states=PENDING", where, "--sort=-p,i", _format(PENDING_FIELDS, token)]
    return _question(token, ours, waiting)


def find(token: str, user: str, name: str, since: int) -> Command:
    """Two parts: what slurmctld knows of the user's jobs of the name, then what the accounting does.

    Anybody at the site may give a job that name, which everybody there sees.

    In this order: a job that slurmctld has forgotten ended at least ``MinJobAge`` before the first part,
    and is in the accounting by the second unless that is further behind than that.
    """
    which = [f"--user={_matched(_USER, user, 'user')}", f"--name={_matched(_NAME, name, 'name')}"]
    queued = ["squeue", "--states=all", *which, _format(SQUEUE_FIELDS, token)]
    return _question(token, queued, _sacct(token, since, *which))


def ended(token: str, projects: Sequence[str], since: int) -> Command:
    """One part: jobs of the projects that were there at or after ``since``, from the accounting."""
    return _question(token, _sacct(token, since, "--allusers", f"--accounts={_accounts(projects)}"))


def known(token: str, ids: Iterable[int], since: int) -> Command:
    """One part: these jobs, at most ``MOST_IDS``, from the accounting."""
    which = f"--jobs={','.join(str(int(job)) for job in sorted(ids))}"
    return _question(token, _sacct(token, since, "--allusers", which))


def nodes(token: str, partitions: Sequence[str]) -> Command:
    """One part: nodes a partition and state."""
    return _question(token, ["sinfo", f"--partition={_partitions(partitions)}", _format(SINFO_FIELDS, token)])


def granted(token: str, tool: str, project: str) -> Command:
    """One part: a project's budget from ``tool``, one of model.Accounting's."""
    account = _matched(_ACCOUNT, project, "project")
    asked: dict[str, list[str]] = {
        "lumi-allocations": ["lumi-allocations", "--projects", account],
        "jutil": ["jutil", "project", "cpuquota", "-p", account, "-o", "json"],
        "sacct": ["sshare", "--parsable2", f"--accounts={account}", f"--format={','.join(SSHARE_FIELDS)}"],
    }
    return _question(token, asked[tool])


def log_tail(token: str, name: str, job: int, directory: str, most: int) -> Command:
    """One part: the end of the job's output; nothing where there is none."""
    path = shlex.quote(f"{folder(name, directory)}/slurm-{int(job)}.out")
    return _question(token, ["sh", "-c", f"[ ! -e {path} ] || tail -c {int(most)} -- {path}"])


def clock(token: str) -> Command:
    """Asks nothing; its answer carries the remote clock, and shows that the connection lives."""
    return _question(token)


def submit(token: str, job: Submission, start_by: int, seconds: int, threads: int = 1) -> Command:
    """One part: submit, if the script has arrived whole and it is not later than ``start_by`` there.

    sbatch is ended after ``seconds``. Late is what a cut link delivers when it is mended.
    Raises Rejected where a field cannot be passed on.
    """
    place = shlex.quote(folder(job.name, job.directory))
    make = f"mkdir -p -- {place}"
    if not job.directory:
        # What jobs print there is for the login alone, whatever the site's homes are open to.
        make = f"mkdir -p -m 700 -- {_FOLDERS} && chmod 700 -- {_FOLDERS} && {make}"
    end = f"# {token}"
    give_up = "; exit 0"
    steps = (
        "s=$(cat)",
        f"case $s in *{shlex.quote(end)}) ;; *) {_ended(token, CUT)}{give_up} ;; esac",
        f'[ "$(date +%s)" -le {int(start_by)} ] || {{ {_ended(token, LATE)}{give_up}; }}',
        f"{{ {make} && cd -- {place}; }} || {{ {_ended(token, NO_FOLDER)}{give_up}; }}",
        f'printf "%s\\n" "$s" | {_limited(submission(job, threads), seconds)}; {_ended(token)}',
    )
    return _command(token, steps, 1, f"{batch_script(job)}{end}\n".encode())


def submission(job: Submission, threads: int = 1) -> list[str]:
    """sbatch with every option; the script comes by standard input. Raises Rejected.

    ``threads``: CPUs that the site counts for each core.
    """
    days, rest = divmod(_counted(job.seconds, "time limit", least=1), 86400)
    options = [
        "sbatch",
        "--parsable",
        f"--job-name={_matched(_NAME, job.name, 'name')}",
        f"--comment={_matched(_COMMENT, job.comment, 'comment')}",
        f"--account={_matched(_ACCOUNT, job.project, 'project')}",
        f"--partition={_matched(_ACCOUNT, job.partition, 'partition')}",
        f"--nodes={_counted(job.nodes, 'nodes', least=1)}-{job.nodes}",
        f"--ntasks-per-node={_counted(job.tasks_per_node, 'tasks per node', least=1)}",
        f"--time={days}-{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}",
        # A node's failure must not run it twice.
        "--no-requeue",
        "--input=/dev/null",
        "--output=slurm-%j.out",
    ]
    if _counted(job.gpus_per_node, "GPUs per node"):
        options.append(f"--gres=gpu:{job.gpus_per_node}")
    if _counted(job.cores_per_task, "cores per task"):
        options.append(f"--cpus-per-task={job.cores_per_task}")
        if threads > 1:
            # So many cores, and not so many of their threads.
            options.append("--threads-per-core=1")
    if _counted(job.memory_mib_per_node, "memory per node"):
        options.append(f"--mem={job.memory_mib_per_node}M")
    return options


def batch_script(job: Submission) -> str:
    """The script that Slurm gets: ours, with the user's in it as data.

    sbatch reads ``#SBATCH`` lines of what it is given; here no line is the user's.
    """
    script = job.script if job.script.startswith("#!") else f"#!/bin/bash\n{job.script}"
    try:
        data = script.encode()
    except UnicodeEncodeError as error:
        raise Rejected(f"the script cannot be sent: {error.reason}") from None
    if len(data) > MOST_SCRIPT_BYTES:
        raise Rejected(f"the script is longer than {MOST_SCRIPT_BYTES} bytes")
    run = 'exec "$antenna_script"\n'  # in this shell's place: Slurm tells of the signal that ends it
    if job.outputs:
        run = (
            f'"$antenna_script"; r=$?; [ "$r" = 0 ] || exit "$r"\n{_needs("output", job.outputs, NO_OUTPUT)}'
        )
    return (
        "#!/bin/sh\n"
        f"{_needs('input', job.inputs, NO_INPUT)}"
        'antenna_script=$PWD/.script-"$SLURM_JOB_ID"\n'
        "base64 -d >\"$antenna_script\" <<'ANTENNA-DATA' || exit 126\n"
        f"{base64.encodebytes(data).decode('ascii')}"
        "ANTENNA-DATA\n"
        'chmod 700 "$antenna_script" || exit 126\n'
        f"{run}"
    )


def cancel(token: str, job: int, name: str, submitted: int) -> Command:
    """One part: cancel this job if it is still the one that was submitted then; ends with OVER if not."""
    asked = ["squeue", "--noheader", "--states=all", f"--jobs={int(job)}", "--format=%V"]
    cancelled = ["scancel", f"--jobname={_matched(_NAME, name, 'name')}", str(int(job))]
    steps = (
        f"t=$({_limited(asked)} 2>&1); r=$?",
        # An array or heterogeneous job answers with a line a member.
        'u=$(printf "%s\\n" "$t" | sort -u)',
        f'if [ "$r:$u" = 0:{int(submitted)} ]; then t=$({_limited(cancelled)} 2>&1); r=$?; u=$t',
        f'[ "$r" != 0 ] || {{ {_ended(token, 0)}; exit 0; }}; fi',
        # scancel says so of a job that has ended and that slurmctld still knows.
        f'case $r:$u in 0:*|*"Invalid job id"*|*"already comple"*) {_ended(token, OVER)}; exit 0 ;; esac',
        f'printf "%s\\n" "$t" >&2; {_ended(token, "$r")}',
    )
    return _command(token, steps, 1)


def folder(name: str, directory: str) -> str:
    """Where the job runs and its output lies, as seen from the login's home. Raises Rejected."""
    if not directory:
        return f"{_FOLDERS}/{_matched(_NAME, name, 'name')}"
    return _matched(_PATH, directory, "directory")


def heads(fields: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The heads that the columns have in an answer."""
    return tuple(head for _, head in fields)


_SET_UP = (
    # SLURM_CLUSTERS has squeue print a line more and ask elsewhere; where Slurm is and its token stay.
    # An array's tasks are told of whole, however long that is: Slurm cuts them off after 64 bytes.
    'for v in $(env | sed -nE "/^SLURM_(CONF|JWT)/d; '
    's/^((SLURM|SBATCH|SQUEUE|SACCT|SINFO|SCANCEL|SSHARE)_[A-Z_]+)=.*/\\1/p")',
    'do unset "$v"; done; export LC_ALL=C TZ=UTC0 SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0',
)


def _question(token: str, *parts: Sequence[str]) -> Command:
    """Run these one after another, each ended after ``REMOTE_SECONDS``, up to the first that fails."""
    steps = [f'{_limited(part)}; r=$?; {_ended(token, "$r")}; [ "$r" = 0 ] || exit 0' for part in parts]
    return _command(token, steps, len(parts))


def _command(token: str, steps: Sequence[str], parts: int, stdin: bytes = b"") -> Command:
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"{token!r} is no token")
    begin = f'printf "%s begin %s\\n" {token} "$(date +%s)"'
    return Command(
        shlex.join(["exec", "sh", "-c", "; ".join([*_SET_UP, begin, *steps])]), token, parts, stdin
    )


def _limited(part: Sequence[str], seconds: int = REMOTE_SECONDS) -> str:
    return shlex.join(["timeout", f"--kill-after={KILL_AFTER_SECONDS}", str(seconds), *part])


def _needs(what: str, paths: Sequence[str], code: int) -> str:
    """A line that ends the job with ``code`` where one of them cannot be read, and says which."""
    if not paths:
        return ""
    safe = (_matched(_PATH, path, what) for path in paths)
    files = " ".join(path if path.startswith("/") else f"~/{path}" for path in safe)
    return (
        f'for f in {files}; do [ -r "$f" ] || '
        f'{{ echo "antenna: the {what} $f is not there, or cannot be read" >&2; exit {code}; }}; done\n'
    )


def _ended(token: str, code: int | str = "$?") -> str:
    return f'printf "\\n%s ended %s\\n" {token} "{code}"'


def _format(fields: Sequence[tuple[str, str]], token: str) -> str:
    return "--Format=" + ",".join(f"{field}:0|{token}" for field, _ in fields)


def _sacct(token: str, since: int, *which: str) -> list[str]:
    return [
        *("sacct", "--allocations", "--duplicates", "--parsable", f"--delimiter={token}"),
        # sacct takes no seconds since the epoch, TZ says which clock this is; and 0 is midnight to it.
        f"--starttime={datetime.fromtimestamp(max(since, 86400), UTC):%Y-%m-%dT%H:%M:%S}",
        *which,
        f"--format={','.join(SACCT_FIELDS)}",
    ]


def _accounts(projects: Sequence[str]) -> str:
    return ",".join(_matched(_ACCOUNT, project, "project") for project in projects)


def _partitions(partitions: Sequence[str]) -> str:
    return ",".join(_matched(_ACCOUNT, partition, "partition") for partition in partitions)


def _matched(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise Rejected(
            f"the {what} {value[:80]!r} cannot be passed to Slurm: it must match {pattern.pattern}"
        )
    return value


def _counted(value: int, what: str, least: int = 0) -> int:
    if not least <= value < 1 << 31:
        raise Rejected(f"{what}: {value} is not a number that Slurm takes")
    return value
