"""Access to a remote Slurm, against a real one on this host."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from operators.sites.access import (
    Held,
    Lasting,
    Rejected,
    RemoteJobRow,
    Resources,
    SiteError,
    Submission,
    Uncertain,
    Unclear,
    Unreachable,
)
from operators.sites.slurm.access import Deadlines, SlurmAccess
from tests.remote.slurm import OTHER_PROJECT, PROJECT, Recorded, SlurmSite
from tests.remote.temporary import temporary_slurm
from tests.unit.test_slurm_commands import hostile

QUICK = "#!/bin/sh\necho done\n"
LONG = "#!/bin/sh\necho began\nsleep 300\n"
SWIFT = Deadlines(whole=15, start=3, sbatch=4)


def job(script: str = QUICK, **fields: object) -> Submission:
    """A job that nobody else has the name of."""
    name = f"antenna-{secrets.token_hex(6)}"
    given = {"name": name, "comment": f"antenna kul/{name}", "project": PROJECT, "partition": "small-g"}
    return Submission(**{**given, "nodes": 1, "seconds": 600, "script": script, **fields})  # type: ignore[arg-type]


def recorded(slurm: SlurmSite, name: str) -> list[Recorded]:
    """What the accounting has of the name."""
    return [row for row in slurm.accounting() if row.name == name]


def until(found: Callable[[], RemoteJobRow | None], seconds: float = 40) -> RemoteJobRow:
    """The row, once there is one."""
    ends = time.monotonic() + seconds
    while (row := found()) is None:
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.3)
    return row


def in_state(access: SlurmAccess, name: str, *states: str) -> Callable[[], RemoteJobRow | None]:
    def found() -> RemoteJobRow | None:
        rows = [row for row in access.find(name, 0, "root") if row.state in states]
        return rows[0] if rows else None

    return found


def test_a_job_is_submitted_found_followed_to_its_end_and_its_log_read(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job("#!/bin/bash\necho over there; exit 3\n", gpus_per_node=2, cores_per_task=4)
    before = int(time.time())
    id_ = access.submit(mine)
    ended = until(in_state(access, mine.name, "failed"))
    assert (ended.id, ended.name, ended.comment) == (id_, mine.name, mine.comment)
    assert (ended.project, ended.partition, ended.user) == (PROJECT, "small-g", "root")
    assert ended.raw_state == "FAILED"
    assert ended.started is not None
    assert ended.ended is not None
    assert before <= ended.submitted <= ended.started <= ended.ended <= int(time.time()) + 1
    assert (ended.resources.gpus, ended.resources.cores, ended.resources.nodes) == (2, 4, 1)
    assert ended.limit == mine.seconds
    accounted = until(lambda: next((r for r in access.ended(before) if r.id == id_), None))
    assert (accounted.exit_code, accounted.signal, accounted.state) == (3, None, "failed")
    assert access.find(mine.name, accounted.submitted + 1, "root") == []
    assert access.log_tail(ended, "", 1000) == b"over there\n"
    assert access.log_tail(ended, "", 6) == b"there\n"


def test_a_job_needs_its_input_and_must_write_its_output(slurm: SlurmSite, access: SlurmAccess) -> None:
    there = slurm.folder / "there"
    there.touch()
    whole = job(f"#!/bin/sh\ncp {there} {there}.copy\n", inputs=(str(there),), outputs=(f"{there}.copy",))
    reads = job(inputs=(f"{there}.not",))
    writes = job(outputs=(f"{there}.not",))
    for mine in (whole, reads, writes):
        access.submit(mine)
    until(in_state(access, whole.name, "succeeded"))
    for mine, what, code in ((reads, "input", 66), (writes, "output", 73)):
        ended = until(in_state(access, mine.name, "failed"))
        accounted = until(lambda: next((r for r in access.ended(ended.submitted) if r.id == ended.id), None))  # noqa: B023
        assert accounted.exit_code == code
        says = f"antenna: the {what} {there}.not is not there, or cannot be read\n"
        assert access.log_tail(ended, "", 1000).decode().endswith(says)


def test_gpus_are_those_that_were_given_not_those_that_were_asked_for(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job(LONG, partition="standard-g", gpus_per_node=1)
    access.submit(mine)
    running = until(in_state(access, mine.name, "running"))
    # A whole node is given.
    assert running.resources == Resources(nodes=1, cores=56, gpus=8, memory_mib=running.resources.memory_mib)
    # An operator of the site lets it run on: the partition's limit is all that is left.
    assert running.limit == mine.seconds
    slurm.run("scontrol", "update", f"JobId={running.id}", "TimeLimit=UNLIMITED")
    assert next(row for row in access.queue() if row.id == running.id).limit is None
    access.cancel(running)
    over = until(in_state(access, mine.name, "cancelled"))
    assert (over.resources.gpus, over.limit) == (8, None)
    since = running.submitted
    accounted = until(lambda: next((r for r in access.ended(since) if r.id == running.id), None))
    assert accounted.limit is None


def test_a_job_is_given_and_billed_the_cores_that_it_asked_for_where_cores_have_threads() -> None:
    """Slurm counts two CPUs for each of them."""
    with temporary_slurm(threads=2) as slurm:
        partitions = tuple(replace(one, threads_per_core=2) for one in slurm.site.partitions)
        access = SlurmAccess(**{**slurm.access_options, "site": replace(slurm.site, partitions=partitions)})
        try:
            mine, whole = (
                job(LONG, memory_mib_per_node=1000, **fields)
                for fields in ({"cores_per_task": 8}, {"partition": "standard-g"})
            )
            for one, cores in ((mine, 8), (whole, 56)):
                access.submit(one)
                running = until(in_state(access, one.name, "running"))
                assert running.resources.cores == cores
                given = slurm.run("squeue", "--noheader", f"--jobs={running.id}", "--Format=tres-alloc:200")
                assert f"cpu={2 * cores}," in given
                access.cancel(running)
                since = running.submitted
                ended = until(lambda: next((r for r in access.ended(since) if r.id == running.id), None))  # noqa: B023
                assert ended.resources.cores == cores
        finally:
            access.close()


def test_jobs_that_wait_have_a_place_and_a_reason(access: SlurmAccess) -> None:
    jobs = [job(LONG, partition="standard-g", nodes=2, seconds=s) for s in (600, 86_400 + 7_200, 600)]
    for one in jobs:
        access.submit(one)
    until(in_state(access, jobs[0].name, "running"))
    rows = {row.name: row for row in access.queue()}
    try:
        assert [rows[one.name].state for one in jobs] == ["running", "pending", "pending"]
        assert rows[jobs[0].name].position is None
        assert rows[jobs[1].name].position == 1
        assert rows[jobs[2].name].position == 2
        assert rows[jobs[2].name].reason in ("Priority", "Resources", "None", "")
        assert rows[jobs[1].name].started is None
        assert rows[jobs[1].name].resources.gpus == 0
        assert rows[jobs[1].name].resources.nodes == 2
        assert {node.partition for node in access.nodes()} == {"small-g", "standard-g"}
        assert sum(node.nodes for node in access.nodes() if node.partition == "small-g") == 3
        assert [rows[one.name].limit for one in jobs] == [600, 86_400 + 7_200, 600]
    finally:
        for one in jobs:
            access.cancel(rows[one.name])


def test_an_array_that_waits_is_as_many_jobs_as_it_has_tasks(slurm: SlurmSite, access: SlurmAccess) -> None:
    # In steps and with odd ones: told of in more than the 64 bytes to which Slurm cuts it off.
    tasks = [*range(0, 100, 3), *range(200, 400), 410, 415, 417, 422, 430]
    named = f"0-99:3,200-399,{','.join(map(str, tasks[-5:]))}%2"
    ids = [
        slurm.run(
            *("sbatch", "--parsable", f"--account={PROJECT}", "--partition=small-g", f"--array={array}"),
            *("--mem=1G", "--output=/dev/null", *held),
            text=LONG,
        ).strip()
        for array, held in ((named, ["--hold"]), ("0-9%2", []))
    ]

    def rows(of: str) -> list[RemoteJobRow]:
        mine = set(slurm.run("squeue", "--noheader", f"--jobs={of}", "--format=%A").split())
        return [row for row in access.queue() if str(row.id) in mine and row.state in ("pending", "running")]

    try:
        (held,) = rows(ids[0])
        assert (held.state, held.tasks, held.resources.cores, held.demand.cores) == ("pending", 239, 1, 239)
        started = until(lambda: next((r for r in rows(ids[1]) if r.state == "running"), None))
        assert started.tasks == 1
        until(lambda: started if sum(row.state == "running" for row in rows(ids[1])) == 2 else None)
        assert sum(row.tasks for row in rows(ids[1])) == 10
    finally:
        slurm.run("scancel", *ids)


def test_cancel_ends_exactly_that_job(access: SlurmAccess) -> None:
    mine = job(LONG)
    access.submit(mine)
    row = until(in_state(access, mine.name, "running", "pending"))
    # The same id in another life of the counter is another job.
    access.cancel(replace(row, submitted=row.submitted - 86_400))
    access.cancel(replace(row, name="antenna-other"))
    assert access.find(mine.name, 0, "root")[0].state in ("running", "pending")
    access.cancel(row)
    until(in_state(access, mine.name, "cancelled"))
    access.cancel(row)
    access.cancel(replace(row, id=999_999))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"partition": "standard"}, "no partition standard"),
        ({"project": "project_465999999"}, "project_465999999"),
        ({"seconds": 30 * 86_400}, "time limit"),
        ({"gpus_per_node": 9}, "not available"),
        ({"nodes": 3, "partition": "standard-g"}, "[Nn]ode"),
        ({"directory": "/proc/nowhere"}, "place"),
    ],
)
def test_what_slurm_refuses_is_rejected_with_its_reason(
    slurm: SlurmSite, access: SlurmAccess, fields: dict[str, object], why: str
) -> None:
    mine = job(**fields)
    with pytest.raises(Rejected, match=why) as refused:
        access.submit(mine)
    assert refused.value.lasting is Lasting.FOR_GOOD
    assert recorded(slurm, mine.name) == []


@pytest.mark.parametrize(
    ("limit", "lifted", "lasting"),
    [
        ("MaxSubmitJobsPerUser=0", "MaxSubmitJobsPerUser=-1", Lasting.FOR_NOW),
        ("MaxWall=5", "MaxWall=-1", Lasting.FOR_GOOD),
        ("MaxTRESPerJob=gres/gpu=1", "MaxTRESPerJob=gres/gpu=-1", Lasting.FOR_GOOD),
    ],
)
def test_a_refusal_by_a_policy_is_about_the_limit_that_slurm_names(
    slurm: SlurmSite, access: SlurmAccess, limit: str, lifted: str, lasting: Lasting
) -> None:
    qos = ("sacctmgr", "--immediate", "modify", "qos", "normal", "set")
    slurm.run(*qos, limit, "Flags=DenyOnLimit")
    ends = time.monotonic() + 20
    try:
        with pytest.raises(Rejected) as refused:
            while time.monotonic() < ends:  # until slurmctld has been told of the limit
                slurm.run("scancel", str(access.submit(job(gpus_per_node=2))))
        assert refused.value.lasting is lasting
    finally:
        slurm.run(*qos, lifted, "Flags=-1")


@pytest.mark.parametrize("state", ["DRAIN", "INACTIVE"])
def test_a_closed_partition_refuses_everybodys_jobs_and_the_site_answers(
    slurm: SlurmSite, access: SlurmAccess, state: str
) -> None:
    slurm.run("scontrol", "update", "PartitionName=small-g", f"State={state}")
    try:
        for _ in range(4):  # more than the breaker takes of failures
            with pytest.raises(Rejected) as refused:
                access.submit(job())
            assert (refused.value.lasting, refused.value.seconds) == (Lasting.OF_THE_SITE, 300)
        access.queue()
    finally:
        slurm.run("scontrol", "update", "PartitionName=small-g", "State=UP")
    assert access.submit(job())


def test_a_scheduler_that_is_full_says_so_and_counts_as_answering() -> None:
    """sbatch itself asks again for minutes, and is ended meanwhile."""
    with temporary_slurm(most_jobs=3) as slurm:
        access = SlurmAccess(**slurm.access_options, deadlines=SWIFT)
        try:
            for _ in range(4):  # more than the breaker takes of failures
                with pytest.raises(Unclear, match="unable to accept job"):
                    for _ in range(4):
                        access.submit(job(LONG))
            assert 0 < len(access.queue()) <= 3
        finally:
            access.close()


def test_a_job_that_an_operator_of_the_site_moves_is_told_of_where_it_is(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job(LONG)
    slurm.run("scontrol", "update", "PartitionName=small-g", "State=DOWN")
    try:
        id_ = access.submit(mine)
        slurm.run("scontrol", "update", f"JobId={id_}", "Partition=standard-g")
        running = until(in_state(access, mine.name, "running"))
    finally:
        slurm.run("scontrol", "update", "PartitionName=small-g", "State=UP")
    assert (running.id, running.partition, running.user) == (id_, "standard-g", "root")
    assert next(row for row in access.queue() if row.id == id_).partition == "standard-g"
    access.cancel(running)
    ended = until(lambda: next((row for row in access.ended(running.submitted) if row.id == id_), None))
    assert ended.partition == "standard-g"


@pytest.mark.parametrize(
    "fault", ["accepts-and-fails", "accepts-and-hangs", "accepts-and-drops", "accepts-and-garbles"]
)
def test_a_submission_whose_answer_is_lost_is_uncertain_and_is_found(slurm: SlurmSite, fault: str) -> None:
    access = SlurmAccess(**slurm.access_options, deadlines=SWIFT)
    try:
        slurm.go_wrong("sbatch", fault)
        mine = job()
        with pytest.raises(Uncertain):
            access.submit(mine)
        found = until(lambda: next(iter(asked_again(access, mine.name)), None))
        assert found.comment == mine.comment
        until(lambda: found if recorded(slurm, mine.name) else None)
        assert len(recorded(slurm, mine.name)) == 1
    finally:
        access.close()


def asked_again(access: SlurmAccess, name: str) -> list[RemoteJobRow]:
    try:
        return list(access.find(name, 0, "root"))
    except Held:
        return []


@pytest.mark.parametrize("fault", ["hangs", "drops"])
def test_a_submission_that_never_got_there_is_uncertain_and_never_appears(
    slurm: SlurmSite, fault: str
) -> None:
    access = SlurmAccess(**slurm.access_options, deadlines=SWIFT)
    try:
        slurm.go_wrong("sbatch", fault)
        mine = job()
        with pytest.raises(Uncertain):
            access.submit(mine)
        time.sleep(3)
        assert recorded(slurm, mine.name) == []
    finally:
        access.close()


def test_dozens_of_hostile_jobs_are_what_they_say_and_nothing_else(
    slurm: SlurmSite, access: SlurmAccess, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    harms = [
        f"#SBATCH --account={OTHER_PROJECT}\n#SBATCH --job-name=stolen\ntouch {proof}-$SLURM_JOB_ACCOUNT\n",
        f"#!/bin/sh\n#SBATCH --array=1-9\n#SBATCH -A {OTHER_PROJECT}\ntrue\n",
        f"#!/bin/sh\n#SBATCH hetjob\n#SBATCH --comment=stolen\n#PBS -A {OTHER_PROJECT}\n#BSUB -P x\n",
        f"ANTENNA-DATA\n#SBATCH --account={OTHER_PROJECT}\n",
    ]
    # A directive that worked would show in the accounting, shell that was run in the file.
    texts = [*harms, *(f"#SBATCH -A {OTHER_PROJECT}\n{text}" for text in hostile(40, 11))]
    sent = []
    for text in texts:
        mine = job(text)
        try:
            sent.append((access.submit(mine), mine))
        except Rejected as error:
            assert "cannot be sent" in str(error)
    assert len(sent) > 35
    for field in ("name", "comment", "project", "partition", "directory"):
        for text in hostile(5, 13):
            try:
                mine = replace(job(), **{field: text})
                sent.append((access.submit(mine), mine))
            except Rejected:
                continue
    # Slurm tells the accounting of a job's comment with its end, not before.
    kept = whole(slurm, {id_ for id_, _ in sent})
    for id_, mine in sent:
        row = kept[id_]
        assert (row.name, row.comment, row.project, row.partition) == (
            *(mine.name, mine.comment, mine.project, mine.partition),
        )
    assert "stolen" not in {row.name for row in kept.values()}


def whole(slurm: SlurmSite, ids: set[int], seconds: float = 120) -> dict[int, Recorded]:
    """The accounting's rows by id, once all jobs of ``ids`` have ended there."""
    ends = time.monotonic() + seconds
    while True:
        rows = {row.id: row for row in slurm.accounting()}
        going = {id_ for id_ in ids if id_ not in rows or rows[id_].state in ("PENDING", "RUNNING")}
        if not going:
            return rows
        assert time.monotonic() < ends, f"{len(going)} jobs have not ended: {sorted(going)[:9]}"
        time.sleep(0.5)


@pytest.mark.parametrize("fault", ["fails", "is-empty", "is-cut"])
def test_a_queue_that_is_not_whole_is_an_error(slurm: SlurmSite, access: SlurmAccess, fault: str) -> None:
    slurm.go_wrong("squeue", fault)
    with pytest.raises(SiteError):
        access.queue()
    access.queue()


def test_a_queue_that_lacks_a_job_that_was_there_is_an_error_until_it_is_whole(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job(LONG)
    access.submit(mine)
    until(in_state(access, mine.name, "running", "pending"))
    assert mine.name in {row.name for row in access.queue()}
    slurm.go_wrong("squeue", "shows-header-only", "shows-header-only")
    with pytest.raises(SiteError, match="lacks jobs"):
        access.queue()
    (row,) = [row for row in access.queue() if row.name == mine.name]
    access.cancel(row)
    until(in_state(access, mine.name, "cancelled"))
    # It is remembered for a while: the accounting may be told of it late.
    (over,) = [row for row in access.queue() if row.name == mine.name]
    assert (over.state, over.id) == ("cancelled", row.id)
    assert over.ended is not None


def test_a_run_that_was_put_back_into_the_queue_has_an_end_and_what_it_held(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    id_ = slurm.run(
        *("sbatch", "--parsable", f"--account={PROJECT}", "--partition=small-g", "--gpus-per-node=2"),
        *("--requeue", "--mem=1G", "--output=/dev/null"),
        text=LONG,
    ).strip()

    def row(rows: Sequence[RemoteJobRow]) -> RemoteJobRow | None:
        return next((one for one in rows if one.id == int(id_)), None)

    running = until(lambda: next((one for one in [row(access.queue())] if one and one.started), None))
    until(lambda: time.time() > (running.started or 0) + 1)
    slurm.run("scontrol", "requeue", id_)
    again = until(
        lambda: next(
            (r for r in access.queue() if r.id == int(id_) and r.submitted > running.submitted), None
        )
    )
    ended = until(lambda: row(access.ended(running.submitted)))
    assert (ended.submitted, ended.started, ended.raw_state) == (
        running.submitted,
        running.started,
        "REQUEUED",
    )
    assert ended.resources.gpus == 2
    # Of one that is put back while it is being launched Slurm says that it ended as it began.
    assert running.started <= ended.ended <= again.submitted
    assert again.started is None
    slurm.run("scancel", id_)


def test_time_in_which_a_job_is_suspended_is_told_of_by_queue_and_accounting(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job(LONG)
    id_ = access.submit(mine)
    running = until(in_state(access, mine.name, "running"))
    assert running.suspended == 0
    slurm.run("scontrol", "suspend", str(id_))
    until(lambda: running if time.time() > (running.started or 0) + 5 else None)
    still = next(row for row in access.queue() if row.id == id_)
    assert (still.raw_state, still.state) == ("SUSPENDED", "running")
    assert still.suspended >= 3
    slurm.run("scontrol", "resume", str(id_))
    again = next(row for row in access.queue() if row.id == id_)
    access.cancel(again)
    ended = until(lambda: next((row for row in access.ended(running.submitted) if row.id == id_), None))
    assert ended.started is not None
    assert ended.ended is not None
    told = slurm.run("sacct", "-nXPD", f"--jobs={id_}", "--format=ElapsedRaw,Suspended").strip().split("|")
    assert ended.ended - ended.started - ended.suspended == int(told[0])
    assert ended.suspended == int(told[1].rpartition(":")[2]) >= 3


def test_an_account_without_jobs_has_an_empty_queue(slurm: SlurmSite) -> None:
    access = SlurmAccess(**{**slurm.access_options, "projects": (OTHER_PROJECT,)})
    try:
        assert [row for row in access.queue() if row.project == PROJECT] == []
    finally:
        access.close()


def test_accounting_that_cannot_be_asked_is_an_error_and_a_job_is_found_when_it_is_back(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job()
    access.submit(mine)
    slurm.go_wrong("sacct", "fails", "is-empty")
    for _ in range(2):
        with pytest.raises(SiteError):
            access.find(mine.name, 0, "root")
    assert [row.name for row in access.find(mine.name, 0, "root")] == [mine.name]


def test_a_job_that_somebody_else_gave_our_name_is_not_ours(slurm: SlurmSite, access: SlurmAccess) -> None:
    slurm.run("sacctmgr", "--immediate", "add", "user", "nobody", f"account={OTHER_PROJECT}")
    mine = job(LONG)
    theirs = slurm.run(
        *("sbatch", "--parsable", "--uid=nobody", f"--account={OTHER_PROJECT}", f"--job-name={mine.name}"),
        *("--partition=small-g", "--chdir=/", "--hold"),
        text=LONG,
    )
    until(lambda: next((row for row in access.queue() if row.id == int(theirs)), None))
    assert access.find(mine.name, 0, "root") == []
    id_ = access.submit(mine)
    row = until(in_state(access, mine.name, "running", "pending"))
    assert [one.id for one in access.find(mine.name, 0, "root")] == [id_]
    access.cancel(row)
    slurm.run("scancel", theirs.strip())


def test_all_questions_go_over_one_connection(slurm: SlurmSite, access: SlurmAccess) -> None:
    before = slurm.connections()
    for _ in range(5):
        access.queue()
        access.nodes()
        access.find("antenna-nobody", 0, "root")
    assert slurm.connections() == before + 1


def test_other_projects_are_served_over_the_same_connection(slurm: SlurmSite, access: SlurmAccess) -> None:
    mine = job(LONG)
    access.submit(mine)
    row = until(in_state(access, mine.name, "running", "pending"))
    assert mine.name in {one.name for one in access.queue()}
    connections = slurm.connections()
    access.serve([OTHER_PROJECT])
    # It is not told of any more, and has not vanished.
    assert mine.name not in {one.name for one in access.queue()}
    with pytest.raises(Rejected):
        access.submit(job())
    access.cancel(row)
    assert slurm.connections() == connections


def test_a_lost_connection_is_an_error_and_is_made_again(slurm: SlurmSite, access: SlurmAccess) -> None:
    access.nodes()
    slurm.go_wrong("squeue", "drops")
    with pytest.raises(SiteError):
        access.queue()
    with pytest.raises(Held) as held:
        access.queue()
    time.sleep(held.value.seconds + 0.1)
    access.queue()


def test_an_answer_that_was_there_before_anything_was_written_is_no_lost_connection(
    slurm: SlurmSite, access: SlurmAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy host the command has ended before this side comes to its standard input."""
    begin = asyncssh.SSHClientConnection.create_process

    async def begin_and_be_late(*args: Any, **options: Any) -> Any:
        process = await begin(*args, **options)
        await asyncio.sleep(1)
        return process

    access.nodes()
    connections = slurm.connections()
    monkeypatch.setattr(asyncssh.SSHClientConnection, "create_process", begin_and_be_late)
    assert access.nodes()
    access.queue()
    assert slurm.connections() == connections


def test_a_question_is_held_by_the_floor(slurm: SlurmSite) -> None:
    site = replace(slurm.site, access=replace(slurm.site.access, poll_floor_seconds=60))
    access = SlurmAccess(**{**slurm.access_options, "site": site})
    try:
        access.queue()
        calls = len(slurm.calls())
        with pytest.raises(Held) as held:
            access.queue()
        assert 50 < held.value.seconds <= 60
        assert len(slurm.calls()) == calls
        access.nodes()
    finally:
        access.close()


def test_an_account_with_a_certificate_is_let_in_until_it_ends(slurm: SlurmSite, tmp_path: Path) -> None:
    """The site knows the authority that signed it, and not the key."""
    key, certificate = tmp_path / "key", tmp_path / "cert"
    slurm.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
    options = {**slurm.access_options, "key": key, "certificate": certificate}
    for valid, answers in (("", False), ("-1h:+1h", True), ("-2h:-1h", False)):
        if valid:
            authority = ("-s", slurm.folder / "authority", "-I", "antenna", "-n", "root")
            slurm.run("ssh-keygen", "-q", *authority, "-V", valid, tmp_path / "key.pub")
            # Not beside the key under the name that OpenSSH looks for.
            (tmp_path / "key-cert.pub").rename(certificate)
        access = SlurmAccess(**options)
        try:
            if answers:
                assert access.nodes()
            else:
                with pytest.raises(Unreachable, match="does not accept the key"):
                    access.nodes()
        finally:
            access.close()


def test_a_host_with_another_key_is_not_talked_to(slurm: SlurmSite, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    stranger = (slurm.folder / "key.pub").read_text()
    other.write_text(f"[127.0.0.1]:{slurm.port} {stranger}")
    access = SlurmAccess(**{**slurm.access_options, "known_hosts": other})
    try:
        calls = len(slurm.calls())
        with pytest.raises(Unreachable, match="host key"):
            access.submit(job())
        assert len(slurm.calls()) == calls
    finally:
        access.close()


def test_a_project_budget_is_told_by_slurm_itself(slurm: SlurmSite, access: SlurmAccess) -> None:
    slurm.run(
        *("sacctmgr", "--immediate", "modify", "account", PROJECT, "set", "GrpTRESMins=gres/gpu=60000"),
    )
    told = access.granted(PROJECT)
    assert (told.project, told.unit, told.granted) == (PROJECT, "gpu-hours", 1000)
    assert told.used >= 0


def test_slurmctld_that_is_down_is_an_error_and_all_is_right_when_it_is_back(
    slurm: SlurmSite, access: SlurmAccess
) -> None:
    mine = job(LONG)
    access.submit(mine)
    until(in_state(access, mine.name, "running"))
    slurm.stop("slurmctld")
    try:
        with pytest.raises(SiteError):
            access.queue()
    finally:
        slurm.start("slurmctld")
    (row,) = [row for row in access.queue() if row.name == mine.name]
    assert row.state == "running"
    access.cancel(row)
