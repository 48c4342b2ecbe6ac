from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra import paths
from infra.cli import main
from infra.cli.checks import host as host_checks
from infra.cli.checks.table import CHECKS, Finding
from infra.cli.checks.verdict import Verdict

VERBS = (
    "up",
    "preview",
    "refresh",
    "down",
    "status",
    "budget",
    "report",
    "links",
    "dashboard",
    "demo",
    "doctor",
    "tools",
    "watchdog",
    "alerts",
    "maintenance",
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("ANTENNA_OFFLINE", "1")
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    return tmp_path / "home"


def antenna(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_and_exit_codes(verb: str) -> None:
    shown = antenna(verb, "--help")
    assert shown.exit_code == 0
    assert f"antenna {verb}" in shown.output
    assert "Exit codes:" in shown.output


def test_the_help_names_all_verbs() -> None:
    shown = antenna("--help").output
    assert all(f"\n  {verb} " in shown for verb in VERBS)


@pytest.mark.parametrize(
    "words",
    [
        ("raise",),
        ("up", "--fast"),
        ("up", "--engine", "terraform"),
        ("preview", "--stack", "Not_A_Name"),
        ("--stack", "a-name-too-long", "up"),
        ("tools", "build", "no-such-tool"),
        ("preview", "--stack", "nowhere"),
        ("demo", "--jobs", "0"),
    ],
)
def test_wrong_usage_exits_with_2(words: tuple[str, ...]) -> None:
    shown = antenna(*words)
    assert shown.exit_code == 2
    assert "Traceback" not in shown.output


def test_the_stack_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTENNA_STACK", "nowhere")
    assert "Pulumi.nowhere.yaml" in antenna("preview").output
    assert "Pulumi.elsewhere.yaml" in antenna("--stack", "elsewhere", "preview").output
    assert "Pulumi.elsewhere.yaml" in antenna("preview", "--stack", "elsewhere").output
    monkeypatch.setenv("ANTENNA_STACK", "Not A Name")
    assert antenna("preview").exit_code == 2


def write_site(folder: Path, name: str = "embedded", **replace: str) -> Path:
    text = (paths.REPOSITORY / "Pulumi.embedded.yaml").read_text()
    for old, new in replace.items():
        text = text.replace(old.replace("_", " "), new)
    path = folder / f"Pulumi.{name}.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("verb", ["up", "preview"])
def test_a_wrong_site_is_one_message_exit_2_and_nothing_touched(
    verb: str, home: Path, tmp_path: Path
) -> None:
    file = write_site(tmp_path, **{"role:_head": "role: king"})
    shown = antenna("--config-file", str(file), verb)
    assert shown.exit_code == 2
    assert "site:machines[0].role" in shown.output
    assert not home.exists()
    assert not (tmp_path / ".pulumi").exists()


def test_a_file_of_another_stack_is_refused(tmp_path: Path) -> None:
    shown = antenna("--config-file", str(write_site(tmp_path, "other")), "preview")
    assert shown.exit_code == 2
    assert "--stack other" in shown.output


def test_an_unfit_host_is_refused_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    unfit = [Finding(CHECKS[0], Verdict("fail", "this is Plan 9", host_checks.ELSEWHERE))]
    monkeypatch.setattr("infra.cli.verbs.up.refusals", lambda _: unfit)
    shown = antenna("up")
    assert shown.exit_code == 3
    assert "this is Plan 9" in shown.output
    assert "platform ssh" in shown.output
    assert not home.exists()


def test_what_should_not_happen_is_one_message_with_the_trace_in_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def break_down(_: object) -> None:
        raise RuntimeError("out of ideas")

    monkeypatch.setattr("infra.cli.verbs.up.refusals", break_down)
    shown = antenna("up")
    assert shown.exit_code == 1
    assert "out of ideas" in shown.output
    assert "Traceback" not in shown.output
    log = Path(shown.output.split("the full log is ")[1].strip())
    assert log.is_relative_to(tmp_path)
    assert "Traceback" in log.read_text()


def test_down_of_nothing_is_fine_and_touches_nothing(home: Path) -> None:
    shown = antenna("down", "--stack", "nothing")
    assert shown.exit_code == 0
    assert "nothing of the stack nothing" in shown.output
    assert not home.exists()
