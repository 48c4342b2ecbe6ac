"""Two partners at one real Slurm, each with a login of its own, and one that reads.

What a partner's script tries here is what every user of a site may try; each try must come to nothing, by the
site's own accounting and file system.
"""

from __future__ import annotations

import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from operators.sites.access import Held, RemoteJobRow, Submission, Unreachable
from operators.sites.slurm.access import SlurmAccess
from operators.sites.slurm.polling import Origin
from tests.remote.slurm import OTHER_PROJECT, PROJECT, Login, SlurmSite
from tests.remote.test_slurm_access import until, whole

LASTING = "#!/bin/sh\necho for vib alone\necho $$ >pid\nsleep 300\n"

ENDED = "! squeue -h -t RUNNING -j {id} | grep -q ."

# What is tried as a partner, by what it would do to the other: a line of shell that ends with 0 if it worked.
# With the partner's own job in the other's place these work, in this order.
OWN = {
    "read its output": "cat {job}/slurm-{id}.out",
    "read its script": "cat {job}/.script-{id}",
    "list the folder of its job": "ls {job}",
    "list its home": "ls {home}",
    "read its key file": "cat {home}/.ssh/authorized_keys",
    "write into its output": "echo x >>{job}/slurm-{id}.out",
    "write into the folder of its job": "touch {job}/there",
    "write its key file": "echo >>{home}/.ssh/authorized_keys",
    "replace its key file": "cd {home}/.ssh && cp authorized_keys new && mv new authorized_keys",
    "write into its home": "touch {home}/there",
    "shorten its job": "scontrol update JobId={id} TimeLimit=1",
    "see the script of its job": "scontrol write batch_script {id} - | grep ANTENNA-DATA",
    "charge its project": "sbatch --account={project} -p small-g -o /dev/null --wrap=true",
    "stop its process": "kill -STOP {pid} && kill -CONT {pid}",
    "end its process": "kill -0 {pid} && kill {pid}",
}
ENDS = {
    "end its job": f"scancel {{id}}; sleep 1; {ENDED}",
    "end it by its name": f"scancel --name={{name}} --user={{user}}; sleep 1; {ENDED}",
    "end all of its jobs": f"scancel --user={{user}} --state=RUNNING; sleep 1; {ENDED}",
}
# And these are for nobody but the site's administrators.
RISE = {
    "read the key that the Antenna has": "cat {key}",
    "take its home away": "mv {home} {home}.gone",
    "submit as it": "sbatch --uid={user} --account={project} -p small-g --wrap=true",
    "charge the other project later": "scontrol update JobId=$SLURM_JOB_ID Account={other}",
    "change its limits": "sacctmgr --immediate modify user {user} set MaxJobs=0",
    "join the other project": "sacctmgr --immediate add user $(id -un) account={other}",
    "stop the nodes": "scontrol update NodeName=n1 State=DRAIN Reason=x",
    "suspend its job": "scontrol suspend {id}",
}


def script(tries: dict[str, str], where: dict[str, object]) -> str:
    """A job that tries them, and prints of each whether it worked."""
    lines = [
        f"if ( {line.format(**where)} ) >/dev/null 2>&1; then echo 'did {what}'; else echo 'not {what}'; fi"
        for what, line in tries.items()
    ]
    return "\n".join(["#!/bin/sh", *lines, ""])


@dataclass
class Partner:
    """A partner at the site: its login, and the Antenna's access as that."""

    login: Login
    project: str
    access: SlurmAccess

    def submit(self, script: str, **others: object) -> Submission:
        name = f"antenna-{secrets.token_hex(6)}"
        given = {"name": name, "comment": f"antenna {name}", "project": self.project, "partition": "small-g"}
        options = {"nodes": 1, "seconds": 600, "script": script, "login": self.login.user}
        made = Submission(**{**given, **options, **others})  # type: ignore[arg-type]
        self.access.submit(made)
        return made

    def row(self, job: Submission, *states: str) -> RemoteJobRow:
        return until(
            lambda: next(
                (
                    row
                    for row in self.access.find(job.name, 0, self.login.user)
                    if row.state in (states or ("running",))
                ),
                None,
            )
        )


@dataclass
class Two:
    slurm: SlurmSite
    vib: Partner
    ulb: Partner
    reader: SlurmAccess
    looks: Login


@pytest.fixture(scope="module")
def two(slurm: SlurmSite) -> Iterator[Two]:
    slurm.go_right()
    origin = Origin(60)
    opened: list[SlurmAccess] = []

    def access(login: Login, *projects: str, reads: bool = False) -> SlurmAccess:
        options = {**slurm.access_options, "user": login.user, "key": login.key, "projects": projects}
        opened.append(SlurmAccess(**options, origin=origin, reads_only=reads))
        return opened[-1]

    looks = slurm.add_login("r")
    vib, ulb = (slurm.add_login(name, of) for name, of in (("vib", PROJECT), ("ulb", OTHER_PROJECT)))
    yield Two(
        slurm,
        Partner(vib, PROJECT, access(vib, PROJECT)),
        Partner(ulb, OTHER_PROJECT, access(ulb, OTHER_PROJECT)),
        access(looks, PROJECT, OTHER_PROJECT, reads=True),
        looks,
    )
    for one in opened:
        one.close()


def test_neither_of_two_partners_reads_writes_ends_charges_or_blocks_the_other(
    two: Two, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 0
    for mine, theirs in ((two.ulb, two.vib), (two.vib, two.ulb)):
        job, running, where = target(theirs, mine)
        before = tree(theirs.login.home)
        tries = {**OWN, **ENDS, **RISE}
        assert said(mine, tries, where) == [f"not {what}" for what in tries]
        count += len(tries)
        # It is as it was, by the site itself.
        after = theirs.row(job)
        assert (after.id, after.submitted, after.limit) == (running.id, running.submitted, running.limit)
        assert (after.project, after.user) == (theirs.project, theirs.login.user)
        assert tree(theirs.login.home) == before
        theirs.access.cancel(after)
        theirs.row(job, "cancelled")
        charged = two.slurm.run(
            *("sacct", "-a", "-X", "-n", "-P", "--starttime=2020-01-01", "--format=User,Account")
        ).splitlines()
        assert f"{theirs.login.user}|{theirs.project}" in charged
        assert f"{mine.login.user}|{theirs.project}" not in charged
        assert f"{theirs.login.user}|{mine.project}" not in charged
    with capsys.disabled():
        print(f"\n{len(tries)} ways, {count} tries of two partners at each other: all came to nothing")


def test_all_that_is_tried_at_another_works_at_what_is_ones_own(two: Two) -> None:
    """Or the tries would come to nothing for another reason."""
    vib = two.vib
    for tries in (OWN, *({what: line} for what, line in ENDS.items())):
        _, _, where = target(vib, two.ulb)
        if "end all of its jobs" in tries:
            # It would end the job that tries it, too.
            line = f"sh -c {shlex.quote(tries['end all of its jobs'].format(**where))}"
            assert as_login(two.slurm, vib.login, line).returncode == 0
            continue
        assert said(vib, tries, where) == [f"did {what}" for what in tries]
    two.slurm.run("scancel", f"--user={vib.login.user}")


def target(theirs: Partner, mine: Partner) -> tuple[Submission, RemoteJobRow, dict[str, object]]:
    """A job of theirs that runs, and what a line needs to name it and what belongs to it."""
    job = theirs.submit(LASTING)
    running = theirs.row(job)
    folder = theirs.login.home / "antenna" / job.name
    until(lambda: running if (folder / "pid").exists() and (folder / "pid").read_text().strip() else None)
    return (
        job,
        running,
        {
            **{"job": folder, "home": theirs.login.home, "id": running.id, "name": job.name},
            **{"key": theirs.login.key, "user": theirs.login.user, "project": theirs.project},
            **{"other": mine.project if theirs is mine else theirs.project},
            "pid": (folder / "pid").read_text().strip(),
        },
    )


def said(mine: Partner, tries: dict[str, str], where: dict[str, object]) -> list[str]:
    """What came of them, as a job of mine."""
    job = mine.submit(script(tries, where))
    ended = mine.row(job, "succeeded", "failed")
    return mine.access.log_tail(ended, "", 10_000).decode().splitlines()


def test_one_partners_job_may_be_named_as_anothers_and_is_never_taken_for_it(two: Two) -> None:
    job = two.vib.submit(LASTING)
    row = two.vib.row(job)
    line = f"sbatch --parsable --job-name={job.name} --account={OTHER_PROJECT} -p small-g --hold --wrap=true"
    forger = two.ulb.submit(f"#!/bin/sh\n{line}\n")
    ended = two.ulb.row(forger, "succeeded")
    theirs = int(two.ulb.access.log_tail(ended, "", 100))
    try:
        assert {one.id for one in two.reader.queue() if one.name == job.name} == {row.id, theirs}
        assert [one.id for one in two.vib.access.find(job.name, 0, two.vib.login.user)] == [row.id]
        # To end it, as whatever is called, is the owner's alone.
        with pytest.raises(Exception, match=r"denied|permission|Access"):
            two.vib.access.cancel(next(one for one in two.reader.queue() if one.id == theirs))
    finally:
        two.vib.access.cancel(row)
        two.slurm.run("scancel", str(theirs))


def test_the_login_that_reads_sees_every_partners_jobs_and_submits_none(two: Two) -> None:
    jobs = [partner.submit(LASTING) for partner in (two.vib, two.ulb)]
    rows = [partner.row(job) for partner, job in zip((two.vib, two.ulb), jobs, strict=True)]
    seen = {(row.name, row.user, row.project) for row in two.reader.queue()}
    assert {(row.name, row.user, row.project) for row in rows} <= seen
    calls = two.slurm.calls().count("sbatch")
    with pytest.raises(Unreachable, match="submits nothing"):
        two.reader.submit(jobs[0])
    assert two.slurm.calls().count("sbatch") == calls
    # And the site takes nothing of it, whoever has its key.
    for project in (PROJECT, OTHER_PROJECT):
        done = as_login(two.slurm, two.looks, f"sbatch --account={project} -p small-g --wrap=true")
        assert done.returncode != 0
        assert "Invalid account" in done.stderr
    for row in rows:
        denied = as_login(two.slurm, two.looks, f"scancel {row.id}")
        assert "denied" in denied.stderr
        until(in_reader(two, row))
    two.vib.access.cancel(rows[0])
    two.ulb.access.cancel(rows[1])
    ended = whole(two.slurm, {row.id for row in rows})
    accounted = {row.id: row.project for row in two.reader.ended(min(row.submitted for row in rows))}
    assert {row.id: accounted[row.id] for row in rows} == {row.id: ended[row.id].project for row in rows}


def test_nothing_is_submitted_as_another_login_than_was_meant(two: Two) -> None:
    calls = two.slurm.calls().count("sbatch")
    with pytest.raises(Unreachable, match="the login is"):
        two.vib.submit(LASTING, login=two.ulb.login.user)
    assert two.slurm.calls().count("sbatch") == calls


def test_a_key_of_a_kind_that_the_site_does_not_take_is_not_shown_to_it(two: Two, tmp_path: Path) -> None:
    key = tmp_path / "key"
    two.slurm.run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f", key)
    options = {**two.slurm.access_options, "key": key}
    access, connections = SlurmAccess(**options), two.slurm.connections()
    try:
        with pytest.raises(Unreachable, match="its key is rsa-2048, and the site takes ed25519 alone"):
            access.check()
        assert two.slurm.connections() == connections
    finally:
        access.close()


def test_a_login_that_its_own_script_shut_us_out_of_keeps_nobody_else(two: Two) -> None:
    keys = two.ulb.login.home / ".ssh" / "authorized_keys"
    before = keys.read_text()
    shut = two.ulb.submit("#!/bin/sh\n: >~/.ssh/authorized_keys\n")
    two.ulb.row(shut, "succeeded")
    try:
        two.slurm.drop_connections()
        with pytest.raises(Exception, match=r"lost|does not accept the key|connected to again"):
            two.ulb.access.check()
        job = until_done(lambda: two.vib.submit("#!/bin/sh\ntrue\n"))
        two.vib.row(job, "succeeded")
    finally:
        keys.write_text(before)


def until_done(work: Callable[[], Submission]) -> Submission:
    """What it gives, once it does without the connection having been lost."""
    ends = time.monotonic() + 40
    while True:
        try:
            return work()
        except (Unreachable, Held):
            assert time.monotonic() < ends
            time.sleep(0.5)


def in_reader(two: Two, row: RemoteJobRow) -> Callable[[], RemoteJobRow | None]:
    return lambda: next(
        (one for one in two.reader.queue() if one.id == row.id and one.state == "running"), None
    )


def as_login(slurm: SlurmSite, login: Login, line: str) -> subprocess.CompletedProcess[str]:
    """A command line of somebody who has the login's key, and another client than ours."""
    options = ["-i", login.key, "-o", f"UserKnownHostsFile={slurm.known_hosts}", "-o", "BatchMode=yes"]
    argv = ["ssh", *map(str, options), "-p", str(slurm.port), f"{login.user}@127.0.0.1", line]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def tree(home: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a home: owner, mode, content. What its own job goes on to print is none of it."""
    found = {}
    for path in sorted(home.rglob("*")):
        told = path.lstat()
        found[str(path)] = (told.st_uid, told.st_mode, path.read_bytes() if path.is_file() else b"")
    return found
