"""What a remote Slurm answers, read strictly: whole, or not at all."""

from __future__ import annotations

import pytest

from operators.sites.access import Granted, Lasting, Resources
from operators.sites.slurm import commands, parse
from operators.sites.slurm.answers import Garbled, Part, parse_answer, records
from operators.sites.slurm.budgets import parse_granted
from operators.sites.slurm.continuity import DOUBT_SECONDS, Continuity
from operators.sites.slurm.refusals import answered, refusal

TOKEN = "x0123456789abcdef01234567"  # noqa: S105 (between fields, no secret)


def table(*rows: tuple[str, ...]) -> bytes:
    """As squeue and sacct print it with a separator after every field."""
    return "".join("".join(f"{field}{TOKEN}" for field in row) + "\n" for row in rows).encode()


NOW = 1_760_000_100
SQUEUE = commands.SQUEUE_FIELDS
RUNNING = (
    *("1001", "antenna-a", "antenna kul/a", "project_465000001", "small-g", "root", "RUNNING"),
    *("1760000000", "1760000010", "1760003610", "1", "cpu=4,mem=32000M,node=1,billing=4,gres/gpu=2", "None"),
    *("1:00:00", "N/A", "1:30"),
)
WAITING = (
    *("1002", "antenna-b", "(null)", "project_465000001", "small-g,standard-g", "root", "PENDING"),
    *("1760000001", "1760009999", "N/A", "2", "cpu=112,mem=960000M,node=2,billing=112", "Priority"),
    *("UNLIMITED", "N/A", "0:00"),
)


def squeue(*rows: tuple[str, ...]) -> bytes:
    return table(commands.heads(SQUEUE), *rows)


def waiting(*rows: tuple[str, ...]) -> bytes:
    return table(commands.heads(commands.PENDING_FIELDS), *rows)


def sacct(*rows: dict[str, str]) -> bytes:
    usual = {
        **dict.fromkeys(commands.SACCT_FIELDS, ""),
        **{"JobIDRaw": "1001", "JobName": "antenna-a", "State": "COMPLETED", "Submit": "1760000000"},
        **{"Start": "1760000010", "End": "1760000070", "NNodes": "1", "ExitCode": "0:0"},
    }
    return table(commands.SACCT_FIELDS, *(tuple({**usual, **row}.values()) for row in rows))


def test_an_answer_is_taken_apart_at_its_marks() -> None:
    text = (
        f"Welcome to LUMI\n{TOKEN} begin 1760000000\none\n\n{TOKEN} ended 0\ntwo\n{TOKEN} ended 1\n".encode()
    )
    told = parse_answer(text, TOKEN, 2)
    assert told.clock == 1_760_000_000
    assert told.parts == (Part(b"one\n", 0), Part(b"two", 1))


def test_no_beginning_of_an_answer_is_taken_for_it() -> None:
    whole = f"{TOKEN} begin 1760000000\n\n{TOKEN} ended 0\n\n{TOKEN} ended 0\n".encode()
    parse_answer(whole, TOKEN, 2)
    for length in range(len(whole)):
        with pytest.raises(Garbled):
            parse_answer(whole[:length], TOKEN, 2)


def test_no_beginning_of_a_table_is_taken_for_it() -> None:
    whole = squeue(RUNNING, WAITING)
    assert len(parse.parse_squeue(whole, TOKEN, NOW)) == 2
    # A table that ends with a row is a table; whether it is all is told by the marks around it.
    rows = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    for length in range(len(whole)):
        if any(length in (end, end - 1) for end in rows):
            continue
        with pytest.raises(Garbled):
            parse.parse_squeue(whole[:length], TOKEN, NOW)


def test_an_empty_queue_has_a_head_and_nothing_at_all_is_no_answer() -> None:
    assert parse.parse_squeue(squeue(), TOKEN, NOW) == []
    with pytest.raises(Garbled, match="nothing at all"):
        parse.parse_squeue(b"", TOKEN, NOW)


def test_a_running_job() -> None:
    (row,) = parse.parse_queue(squeue(RUNNING), waiting(), TOKEN, NOW)
    assert (row.id, row.name, row.comment, row.state) == (1001, "antenna-a", "antenna kul/a", "running")
    assert (row.submitted, row.started, row.ended) == (1_760_000_000, 1_760_000_010, None)
    assert row.resources == Resources(nodes=1, cores=4, gpus=2, memory_mib=32_000)
    assert (row.start_estimate, row.position, row.reason) == (None, None, "")


def test_a_waiting_job_has_an_estimate_and_the_better_of_its_places() -> None:
    order = waiting(
        *(("7", "small-g", "N/A"), ("8", "small-g", "N/A"), ("9", "standard-g", "N/A")),
        ("1002", "small-g,standard-g", "N/A"),
    )
    (row,) = parse.parse_queue(squeue(WAITING), order, TOKEN, NOW)
    assert (row.state, row.started, row.start_estimate) == ("pending", None, 1_760_009_999)
    assert (row.position, row.reason, row.comment) == (2, "Priority", "")
    assert row.resources.gpus == 0


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("0-467", 468),
        ("0-467%20", 468),
        ("7", 1),
        ("1,3,5,100-200:5,390-392", 27),
        ("0-4:4%1", 2),
        ("N/A", 1),
        ("", 1),
    ],
)
def test_a_waiting_array_is_as_many_jobs_as_it_has_tasks(text: str, tasks: int) -> None:
    array = (*WAITING[:14], text, "0:00")
    (row,) = parse.parse_queue(squeue(array), waiting(("1002", "small-g", text)), TOKEN, NOW)
    assert (row.tasks, row.position) == (tasks, 1)
    assert (row.demand.cores, row.demand.nodes) == (112 * tasks, 2 * tasks)


def test_a_task_that_has_begun_is_one_job() -> None:
    (row,) = parse.parse_squeue(squeue((*RUNNING[:14], "0-467", "1:30")), TOKEN, NOW)
    assert row.tasks == 1


def test_all_tasks_of_an_array_stand_before_who_comes_after_it() -> None:
    order = waiting(("7", "small-g", "0-99%10"), ("8", "standard-g", "N/A"), ("1002", "small-g", "N/A"))
    (row,) = parse.parse_queue(squeue(WAITING), order, TOKEN, NOW)
    assert row.position == 101


@pytest.mark.parametrize("text", ["1,3,...", "a-b", "1-2:0", "-"])
def test_tasks_that_are_not_understood_are_no_row(text: str) -> None:
    with pytest.raises(Garbled):
        parse.parse_squeue(squeue((*WAITING[:14], text, "0:00")), TOKEN, NOW)


@pytest.mark.parametrize("name", ["a\nb", "\n", "", "1001", "x|y", " ended 0", "\x1f", "é\u202e"])
def test_any_name_of_a_job_is_one_field(name: str) -> None:
    other = (RUNNING[0], name, *RUNNING[2:])
    rows = parse.parse_squeue(squeue(other, WAITING), TOKEN, NOW)
    assert [row.name for row in rows] == [name, "antenna-b"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, "1001_[1-3]"),
        (0, ""),
        (6, "DANCING"),
        (7, "N/A"),
        (7, "2026-11-25T18:00:00"),
        (11, "cpu"),
        (13, "an hour"),
        (13, "60"),
    ],
)
def test_what_is_not_understood_is_no_row(field: int, value: str) -> None:
    row = (*RUNNING[:field], value, *RUNNING[field + 1 :])
    with pytest.raises(Garbled):
        parse.parse_squeue(squeue(row), TOKEN, NOW)


def test_columns_that_were_not_asked_for_are_no_answer() -> None:
    with pytest.raises(Garbled, match="other columns"):
        list(records(table(("JOBID", "NAMES")), TOKEN, ("JOBID", "NAME")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3-00:00:00", 259_200),
        ("1-12:05:30", 129_930),
        ("1:30:00", 5_400),
        ("10:00", 600),
        ("0:30", 30),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("NOT_SET", None),
        ("Partition_Limit", None),
        ("", None),
    ],
)
def test_a_time_limit_as_squeue_writes_it(text: str, seconds: int | None) -> None:
    (row,) = parse.parse_squeue(squeue((*RUNNING[:13], text, *RUNNING[14:])), TOKEN, NOW)
    assert row.limit == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("4320", 259_200), ("1", 60), ("UNLIMITED", None), ("Partition_Limit", None)]
)
def test_a_time_limit_as_the_accounting_tells_it_in_minutes(text: str, seconds: int | None) -> None:
    (row,) = parse.parse_sacct(sacct({"TimelimitRaw": text}), TOKEN)
    assert row.limit == seconds


@pytest.mark.parametrize("text", ["1:00:00", "an hour", "-1"])
def test_a_time_limit_of_the_accounting_that_is_no_number_is_no_row(text: str) -> None:
    with pytest.raises(Garbled):
        parse.parse_sacct(sacct({"TimelimitRaw": text}), TOKEN)


@pytest.mark.parametrize(
    ("state", "used", "suspended"),
    [
        ("RUNNING", "1:30", 0),
        ("RUNNING", "1:32", 0),  # squeue reads the clock after we do
        ("SUSPENDED", "0:30", 60),
        ("RUNNING", "INVALID", 0),
        ("COMPLETED", "58:00", 120),
        ("PENDING", "0:00", 0),
    ],
)
def test_squeue_says_how_long_a_job_ran_and_the_rest_it_was_suspended(
    state: str, used: str, suspended: int
) -> None:
    (row,) = parse.parse_squeue(squeue((*RUNNING[:6], state, *RUNNING[7:15], used)), TOKEN, NOW)
    assert row.suspended == suspended
    assert row.held_since == (None if state == "PENDING" else 1_760_000_010 + suspended)


@pytest.mark.parametrize(("elapsed", "suspended"), [("60", 0), ("15", 45), ("", 0), ("61", 0), ("-16", 0)])
def test_the_accounting_says_how_long_a_job_ran_and_the_rest_it_was_suspended(
    elapsed: str, suspended: int
) -> None:
    (row,) = parse.parse_sacct(sacct({"ElapsedRaw": elapsed}), TOKEN)
    assert (row.suspended, row.started, row.ended) == (suspended, 1_760_000_010, 1_760_000_070)


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("cpu=4,gres/gpu=2,node=1", 2),
        ("cpu=4,gres/gpu=8,gres/gpu:mi250=8,node=1", 8),
        ("cpu=4,gres/gpu:a100=1,gres/gpu:h100=2,node=1", 3),
        ("billing=4,cpu=4,node=1", 0),
        ("", 0),
    ],
)
def test_gpus_are_counted_once(text: str, gpus: int) -> None:
    assert parse.parse_tres(text).gpus == gpus


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("mem=480G", 491_520), ("mem=1.5T", 1_572_864), ("mem=512000K", 500), ("mem=7M", 7)],
)
def test_memory_in_each_of_slurms_units(text: str, mebibytes: int) -> None:
    assert parse.parse_tres(text).memory_mib == mebibytes


def test_what_was_given_counts_and_what_was_asked_for_only_while_it_waits() -> None:
    tres = {"ReqTRES": "cpu=1,gres/gpu=1,node=1", "AllocTRES": "cpu=56,gres/gpu=8,node=1"}
    pending = {"State": "PENDING", "Start": "Unknown", "End": "Unknown", "AllocTRES": ""}
    given, asked = parse.parse_sacct(sacct(tres, {**tres, **pending}), TOKEN)
    assert (given.resources.gpus, asked.resources.gpus) == (8, 1)


@pytest.mark.parametrize(
    ("told", "state", "code", "signal"),
    [
        ({"State": "COMPLETED"}, "succeeded", 0, None),
        ({"State": "FAILED", "ExitCode": "3:0"}, "failed", 3, None),
        ({"State": "CANCELLED by 1000", "ExitCode": "0:15"}, "cancelled", 0, 15),
        ({"State": "TIMEOUT"}, "failed", 0, None),
        ({"State": "NODE_FAIL"}, "failed", 0, None),
        ({"State": "OUT_OF_MEMORY", "ExitCode": "0:125"}, "failed", 0, 125),
        ({"State": "RUNNING", "End": "Unknown"}, "running", None, None),
    ],
)
def test_ends_as_the_accounting_tells_them(
    told: dict[str, str], state: str, code: int | None, signal: int | None
) -> None:
    (row,) = parse.parse_sacct(sacct(told), TOKEN)
    assert (row.state, row.exit_code, row.signal) == (state, code, signal)
    assert row.raw_state == told["State"].split()[0]


@pytest.mark.parametrize("word", ["REQUEUED", "RESIZING"])
def test_a_run_that_ended_though_its_job_goes_on_has_an_end_and_what_it_held(word: str) -> None:
    held = {"AllocTRES": "cpu=4,mem=8G,node=1,gres/gpu=2", "ReqTRES": "cpu=4,mem=8G,node=1"}
    (row,) = parse.parse_sacct(sacct({"State": word, **held}), TOKEN)
    assert row.state not in parse.OVER
    assert (row.started, row.ended, row.resources.gpus) == (1_760_000_010, 1_760_000_070, 2)
    (row,) = parse.parse_sacct(sacct({"State": "PENDING", "Start": "Unknown", "End": "Unknown"}), TOKEN)
    assert (row.started, row.ended) == (None, None)


def test_an_end_that_either_tells_of_is_an_end_and_ids_used_twice_are_two_jobs() -> None:
    behind = sacct({"State": "RUNNING", "End": "Unknown"}, {"Submit": "1700000000", "State": "FAILED"})
    over = (*RUNNING[:6], "COMPLETED", *RUNNING[7:])
    merged = parse.merge(parse.parse_squeue(squeue(over), TOKEN, NOW), parse.parse_sacct(behind, TOKEN))
    assert [(row.submitted, row.state) for row in merged] == [
        (1_700_000_000, "failed"),
        (1_760_000_000, "succeeded"),
    ]


def test_a_node_that_gets_no_work_is_not_idle_whatever_its_state() -> None:
    states = ["idle", "idle~", "idle#", "idle-", "idle*", "mixed$", "idle%", "allocated!", "idle@", "idle^"]
    rows = [("small-g*", state, "1") for state in [*states, "drained*", "down*"]]
    found = parse.parse_nodes(table(commands.heads(commands.SINFO_FIELDS), *rows), TOKEN)
    assert {row.state: row.nodes for row in found} == {
        "idle": 4,
        "not_responding": 1,
        "maint": 1,
        "powering_down": 2,
        "reboot": 2,
        "drained": 1,
        "down": 1,
    }
    assert {row.partition for row in found} == {"small-g"}


@pytest.mark.parametrize(
    ("output", "job"),
    [
        (b"1001\n", 1001),
        (b"1001;lumi\n", 1001),
        (b"", None),
        (b"baab\n", None),
        (b"0\n", None),
        (b"10 01", None),
    ],
)
def test_the_id_that_sbatch_tells(output: bytes, job: int | None) -> None:
    assert parse.parse_submitted(output) == job


# As LUMI prints it: https://github.com/Lumi-supercomputer/lumi-allocations.
LUMI = b"""\
Data updated: 2026-04-22 14:47:17
Project             |                    CPU (used/allocated)|               GPU (used/allocated)|           Storage (used/allocated)
--------------------------------------------------------------------------------------------------------------------------------------
project_465002906   |           250/1000  (25.0%) core/hours|           17/300   (5.7%) gpu/hours|             0/10   (0.0%) TB/hours
project_462000001   |              0/0    (N/A) core/hours|        1721/2000  (86.0%) gpu/hours|                                N/A
"""  # noqa: E501 (as it is printed)


def test_a_budget_as_lumi_tells_it() -> None:
    as_of = 1_776_869_237
    told = parse_granted("lumi-allocations", LUMI, "project_465002906", "gpu-hours")
    assert told == Granted("project_465002906", "gpu-hours", 300, 17, as_of)
    told = parse_granted("lumi-allocations", LUMI, "project_462000001", "core-hours")
    assert told == Granted("project_462000001", "core-hours", 0, 0, as_of)


def test_a_time_of_lumi_s_may_have_fractions() -> None:
    # Python writes them where the file's time has some.
    exact = LUMI.replace(b"14:47:17", b"14:47:17.250412")
    assert parse_granted("lumi-allocations", exact, "project_465002906", "gpu-hours").as_of == 1_776_869_237


# lumi-allocations ends with 0 where it has no access, and prints the reason elsewhere.
@pytest.mark.parametrize(
    "output", [b"", LUMI[:150], LUMI.replace(b"17/300", b"17/"), LUMI[: LUMI.index(b"gpu/h")]]
)
def test_a_lumi_budget_that_is_not_told_is_no_budget(output: bytes) -> None:
    with pytest.raises(Garbled):
        parse_granted("lumi-allocations", output, "project_465002906", "gpu-hours")


JUTIL = b"""[
  {"project": "antenna", "budget": "antenna", "system": "JUPITER", "month": "2026-10", "unit": "core-h",
   "quota": 570000.0, "rest": 0.0, "used": 500000.0, "updated": "2026-11-25 03:00:00"},
  {"project": "antenna", "budget": "antenna", "system": "JUPITER", "month": "2026-11", "unit": "core-h",
   "quota": 570000.0, "rest": 70000.0, "used": 12345.5, "updated": "2026-11-25 03:00:00"}]
"""


def test_a_budget_as_jutil_tells_it_is_the_newest_months_with_the_rest_of_the_one_before() -> None:
    assert parse_granted("jutil", JUTIL, "antenna", "core-hours") == Granted(
        "antenna", "core-hours", 640_000, 12_345.5, 1_795_575_600
    )


def test_amounts_of_jutil_are_read_as_text_too_with_their_unit_or_without() -> None:
    as_text = JUTIL.replace(b"570000.0", b'"570000.0"').replace(b"70000.0,", b'"-70000 core-h",')
    as_text = as_text.replace(b"12345.5", b'"12345.5core-h"')
    told = parse_granted("jutil", as_text, "antenna", "core-hours")
    assert (told.granted, told.used) == (500_000, 12_345.5)


@pytest.mark.parametrize("amount", [b'"much"', b'"1,000"', b'"570000 node-h"', b'""', b"null", b"true"])
def test_what_is_no_amount_of_core_hours_is_none(amount: bytes) -> None:
    with pytest.raises(Garbled, match="tells no quota"):
        parse_granted("jutil", JUTIL.replace(b"570000.0", amount), "antenna", "core-hours")


@pytest.mark.parametrize(
    "output",
    [b"", b"[]", b"{}", JUTIL[:200], JUTIL.replace(b"core-h", b"node-h"), JUTIL.replace(b'"quota"', b'"q"')],
)
def test_a_jutil_budget_that_is_not_told_is_no_budget(output: bytes) -> None:
    with pytest.raises(Garbled):
        parse_granted("jutil", output, "antenna", "core-hours")


SSHARE = b"""\
Account|User|GrpTRESMins|GrpTRESRaw
project_465000001||gres/gpu=60000|cpu=100,mem=1,gres/gpu=120
 project_465000001|root||cpu=100,mem=1,gres/gpu=120
"""


def test_a_budget_as_slurm_tells_it() -> None:
    told = parse_granted("sacct", SSHARE, "project_465000001", "gpu-hours")
    assert told == Granted("project_465000001", "gpu-hours", 1000, 2)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
            "Invalid partition",
        ),
        (
            "sbatch: error: project_46 has no hours left\n"
            "sbatch: error: Batch job submission failed: Unspecified error\n",
            "has no hours left",
        ),
        ("sbatch: error: This does not look like a batch script.  The first\n", "look like a batch script"),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", ""),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller\n", ""),
        ("sbatch: error: Batch job submission failed: Something that a later Slurm says\n", ""),
        ("Killed\n", ""),
        ("", ""),
    ],
)
def test_only_what_is_certainly_a_refusal_is_one(errors: str, expected: str) -> None:
    why = refusal(errors)
    assert expected in str(why)
    assert (why is not None) == bool(expected)


def limited(*lines: str) -> str:
    policy = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    return "".join(f"sbatch: error: {line}\n" for line in (*lines, f"Batch job submission failed: {policy}"))


@pytest.mark.parametrize(
    ("errors", "lasting"),
    [
        (limited("QOSMaxWallDurationPerJobLimit"), Lasting.FOR_GOOD),
        (limited("QOSMaxGRESPerJob"), Lasting.FOR_GOOD),
        (limited("AssocGrpCPUMinutesLimit"), Lasting.FOR_GOOD),
        (limited("QOSMaxSubmitJobPerUserLimit"), Lasting.FOR_NOW),
        (limited("AssocMaxSubmitJobLimit"), Lasting.FOR_NOW),
        (limited("AssocGrpSubmitJobsLimit"), Lasting.FOR_NOW),
        (limited(), Lasting.FOR_NOW),
        (
            "sbatch: error: Batch job submission failed: "
            "Required partition not available (inactive or drain)\n",
            Lasting.OF_THE_SITE,
        ),
        ("sbatch: error: Batch job submission failed: Invalid qos specification\n", Lasting.FOR_GOOD),
        ("sbatch: error: This does not look like a batch script.  The first\n", Lasting.FOR_GOOD),
    ],
)
def test_a_refusal_says_what_it_is_about(errors: str, lasting: Lasting) -> None:
    why = refusal(errors)
    assert why is not None
    assert why.lasting is lasting
    assert why.seconds == (300 if lasting is Lasting.OF_THE_SITE else 60), "when it may be worth another try"


@pytest.mark.parametrize(
    ("errors", "works"),
    [
        ("sbatch: error: Batch job submission failed: Something that a later Slurm says\n", True),
        ("sbatch: error: Batch job submission failed: Resource temporarily unavailable\n", True),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n", True),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n", False),
        (
            "sbatch: error: Batch job submission failed: "
            "Unable to contact slurm controller (connect failure)\n",
            False,
        ),
        ("Killed\n", False),
        ("", False),
    ],
)
def test_a_scheduler_that_says_anything_works(errors: str, works: bool) -> None:
    assert refusal(errors) is None
    assert answered(errors) == works


def test_a_job_that_vanished_makes_the_answer_doubtful_for_a_while() -> None:
    seen = Continuity()
    rows = parse.parse_squeue(squeue(RUNNING, WAITING), TOKEN, NOW)
    assert not seen.missing(rows, 0)
    seen.note(rows)
    gone = seen.missing(rows[:1], 60)
    assert gone == {(1002, 1_760_000_001)}
    assert seen.doubted(gone, 60) == gone
    assert seen.doubted(gone, 120) == gone
    assert not seen.doubted(gone, 60 + DOUBT_SECONDS)


def test_a_job_that_is_told_of_as_over_has_not_vanished() -> None:
    seen = Continuity()
    seen.note(parse.parse_squeue(squeue(RUNNING), TOKEN, NOW))
    over = parse.parse_squeue(squeue((*RUNNING[:6], "COMPLETED", *RUNNING[7:])), TOKEN, NOW)
    assert not seen.missing(over, 60)
    seen.note(over)
    assert not seen.missing([], 120)
