"""Nothing of a user becomes an option, a directive or shell on the way to a remote Slurm."""

from __future__ import annotations

import base64
import os
import random
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from operators.sites.access import Rejected, Submission
from operators.sites.slurm import commands

TOKEN = "x0123456789abcdef01234567"  # noqa: S105 (between fields, no secret)
JOB = Submission(
    name="antenna-kul-7f3a",
    comment="antenna kul/train 7f3a",
    project="project_465000001",
    partition="small-g",
    nodes=1,
    seconds=90_061,
    script="#!/bin/bash\necho hello\n",
    gpus_per_node=2,
)

# Some of these texts are also run, as scripts of jobs: none may do harm even where it is meant to be run.
BITS = (
    *(
        "$(touch /dev/null)",
        "`id`",
        "; touch /dev/null",
        "| cat",
        "&& id",
        "> /dev/null",
        "'",
        '"',
        "\\",
        "\n",
        "\r",
        "\0",
    ),
    *(
        "#SBATCH --account=project_465000002",
        "\n#SBATCH -A other\n",
        "#PBS -A x",
        "#BSUB -P x",
        "\n# ",
        TOKEN,
    ),
    *(
        "--account=project_465000002",
        "-A",
        "--wrap=id",
        "%j",
        "%x",
        "*",
        "?",
        "~",
        "../..",
        "/etc",
        "-",
        "--",
        ",",
    ),
    *(
        "ANTENNA-DATA",
        "\nANTENNA-DATA\n",
        "EOF",
        "exit 0",
        "\u202e",
        "é",
        "\ud800",
        "\U0001d518",
        "\x1b[2J",
        " ",
        "\t",
        "a",
        "Z",
    ),
    *("${IFS}", "!!", "{a,b}", "[a]", "(", ")", "=", ":", "@", "+", "_", ".", "x" * 300),
)


def hostile(count: int, seed: int) -> list[str]:
    """Texts that would do harm if anybody read them as more than text; the same every time."""
    chosen = random.Random(seed)  # noqa: S311
    return ["".join(chosen.choices(BITS, k=chosen.randint(1, 6))) for _ in range(count)]


def options_of(line: str) -> list[str]:
    """The words of sbatch in a remote command line, as its shells take them apart."""
    word, shell, flag, script = shlex.split(line)
    assert (word, shell, flag) == ("exec", "sh", "-c")
    (sbatch,) = [step for step in script.split("; ") if "timeout" in step]
    words = shlex.split(sbatch.partition(" | ")[2])
    return words[words.index("sbatch") :]


def test_every_option_of_a_submission_is_one_word_of_the_command_line() -> None:
    assert options_of(commands.submit(TOKEN, JOB, 1_760_000_000, 20).line) == [
        "sbatch",
        "--parsable",
        "--job-name=antenna-kul-7f3a",
        "--comment=antenna kul/train 7f3a",
        "--account=project_465000001",
        "--partition=small-g",
        "--nodes=1-1",
        "--ntasks-per-node=1",
        "--time=1-01:01:01",
        "--no-requeue",
        "--input=/dev/null",
        "--output=slurm-%j.out",
        "--gres=gpu:2",
    ]


@pytest.mark.parametrize(("threads", "cores", "said"), [(2, 8, True), (2, 0, False), (1, 8, False)])
def test_where_cores_have_threads_whole_cores_are_asked_for(threads: int, cores: int, said: bool) -> None:
    asked = commands.submission(replace(JOB, cores_per_task=cores), threads)
    assert ("--threads-per-core=1" in asked) == said
    assert (f"--cpus-per-task={cores}" in asked) == bool(cores)


def test_5000_hostile_names_comments_projects_and_scripts_do_no_harm() -> None:
    refused = 0
    for index, text in enumerate(hostile(5_000, 5)):
        field = ("name", "comment", "project", "partition", "directory", "script")[index % 6]
        job = replace(JOB, **{field: text})
        try:
            command = commands.submit(TOKEN, job, 1_760_000_000, 20)
        except Rejected:
            refused += 1
            continue
        assert_harmless(job, command)
    # All kinds are met, or this shows nothing.
    assert 2_500 < refused < 4_700


def assert_harmless(job: Submission, command: commands.Command) -> None:
    expected = {
        "--job-name": job.name,
        "--comment": job.comment,
        "--account": job.project,
        "--partition": job.partition,
    }
    words = options_of(command.line)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert {name: given[name] for name in expected} == expected
    assert all(word.startswith("--") for word in words[1:])
    assert len(words) == len(commands.submission(JOB))
    assert "\n" not in command.line
    lines = command.stdin.decode("ascii").split("\n")
    data = lines.index("ANTENNA-DATA")
    comments = [line for line in lines if line.startswith("#")]
    assert comments == ["#!/bin/sh", f"# {TOKEN}"]
    sent = base64.b64decode("".join(lines[3:data]), validate=True).decode()
    assert sent in (job.script, f"#!/bin/bash\n{job.script}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nodes", 0),
        ("nodes", -1),
        ("seconds", 0),
        ("gpus_per_node", 1 << 40),
        ("script", "x" * (1 << 20)),
        ("script", "\ud800"),
        ("directory", "/"),
        ("directory", "../other"),
        ("directory", "/scratch/../etc"),
        ("inputs", ("data/set", "$(id)")),
        ("outputs", ("~other/x",)),
        ("outputs", ("a b",)),
        ("name", ""),
        ("name", "-x"),
        ("name", "a\n"),
        ("project", "a,b"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(field: str, value: object) -> None:
    with pytest.raises(Rejected):
        commands.submit(TOKEN, replace(JOB, **{field: value}), 1_760_000_000, 20)


class Login:
    """A login shell of this host, with a ``sbatch`` that notes how it is called."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        programs = folder / "bin"
        for made in (self.home, programs):
            made.mkdir()
        self.noted = folder / "noted"
        sbatch = programs / "sbatch"
        sbatch.write_text(
            "#!/bin/sh\n"
            f"exec >{self.noted}\n"
            'pwd; env | grep ^SBATCH; for word; do printf "%s\\0" "$word"; done; cat >&2\n'
        )
        sbatch.chmod(0o755)
        self.environment = {
            **os.environ,
            "HOME": str(self.home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SBATCH_ACCOUNT": "project_465000002",
        }

    def run(self, command: commands.Command, stdin: bytes | None = None) -> tuple[list[str], str]:
        """What it answers, and the script that sbatch got; nothing where it was not called."""
        self.noted.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", command.line],
            input=command.stdin if stdin is None else stdin,
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.stdout.decode().split(), done.stderr.decode()


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


def test_a_submission_reaches_sbatch_as_it_was_meant(login: Login) -> None:
    answer, script = login.run(commands.submit(TOKEN, JOB, 9_000_000_000, 20))
    assert answer[:2] == [TOKEN, "begin"]
    assert answer[3:] == [TOKEN, "ended", "0"]
    assert script == commands.batch_script(JOB) + f"# {TOKEN}\n"
    where, *words = login.noted.read_text().split("\n", 1)
    assert where == str(login.home / "antenna" / JOB.name)
    assert words[0].split("\0")[:-1] == options_of(commands.submit(TOKEN, JOB, 0, 20).line)[1:]


def test_a_script_that_was_cut_off_is_not_submitted(login: Login) -> None:
    command = commands.submit(TOKEN, JOB, 9_000_000_000, 20)
    for length in range(0, len(command.stdin) - 1, 40):
        answer, _ = login.run(command, command.stdin[:length])
        assert answer[3:] == [TOKEN, "ended", str(commands.CUT)]
        assert not login.noted.exists()


def test_a_submission_that_comes_late_is_not_made(login: Login) -> None:
    answer, _ = login.run(commands.submit(TOKEN, JOB, 1_000_000_000, 20))
    assert answer[3:] == [TOKEN, "ended", str(commands.LATE)]
    assert not login.noted.exists()


def run(folder: Path, job: Submission) -> tuple[int, str, str]:
    """Exit code and both outputs of its batch script, with ``folder`` as the account's home."""
    batch = folder / "batch"
    batch.write_text(commands.batch_script(job))
    done = subprocess.run(
        ["sh", batch],
        cwd=folder,
        env={**os.environ, "SLURM_JOB_ID": "5", "HOME": str(folder)},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_script_of_any_content_runs_as_it_is(tmp_path: Path) -> None:
    text = "#!/bin/sh\n#SBATCH --account=other\nprintf '%s' 'ANTENNA-DATA\n$(id) `id` \\'\nexit 7\n"
    assert run(tmp_path, replace(JOB, script=text)) == (7, "ANTENNA-DATA\n$(id) `id` \\", "")
    assert (tmp_path / ".script-5").read_text() == text


def test_a_job_without_its_input_is_not_started_and_says_which(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one").touch()
    mine = replace(JOB, script="#!/bin/sh\necho began\n", inputs=("data/one", f"{tmp_path}/data/one"))
    assert run(tmp_path, mine) == (0, "began\n", "")
    code, out, err = run(tmp_path, replace(mine, inputs=("data/one", "data/two")))
    assert (code, out) == (commands.NO_INPUT, "")
    assert err == f"antenna: the input {tmp_path}/data/two is not there, or cannot be read\n"


@pytest.mark.parametrize(
    ("script", "code"), [("touch model", 0), ("true", commands.NO_OUTPUT), ("exit 3", 3), ("kill -9 $$", 137)]
)
def test_a_job_that_wrote_nothing_has_failed_and_one_that_failed_keeps_its_code(
    tmp_path: Path, script: str, code: int
) -> None:
    done, _, err = run(tmp_path, replace(JOB, script=f"#!/bin/sh\n{script}\n", outputs=("model",)))
    assert done == code
    assert (f"the output {tmp_path}/model is not there" in err) == (code == commands.NO_OUTPUT)


def test_nothing_of_the_profile_bends_a_question_but_where_slurm_is(tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\nenv | grep '^S[A-Z]*_' | sort >{noted}\n")
    squeue.chmod(0o755)
    bent = {
        "SLURM_CLUSTERS": "doduo",
        "SQUEUE_FORMAT": "%i",
        "SLURM_BITSTR_LEN": "9",
        "SACCT_FORMAT": "jobid",
    }
    kept = {"SLURM_CONF": "/opt/slurm.conf", "SLURM_JWT": "token"}
    bent["SLURM_TIME_FORMAT"] = "standard"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **bent, **kept}
    asked = commands.queue(TOKEN, ["g.ai"], ["small-g"])
    subprocess.run(["bash", "-c", asked.line], env=environment, capture_output=True, check=True)
    ours = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    assert noted.read_text().split() == sorted(f"{name}={value}" for name, value in {**kept, **ours}.items())


def test_as_many_jobs_as_one_question_names_fit_into_it() -> None:
    line = commands.known(TOKEN, range(2_000_000_000, 2_000_000_000 + commands.MOST_IDS), 0).line
    assert len(line) < 131_072, "execve takes no longer word"
