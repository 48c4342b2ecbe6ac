from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from infra.cli.engines import choice
from infra.cli.engines.choice import Situation, choose

NOTHING = Situation("auto", None, None, True, None)


@pytest.mark.parametrize(
    ("found", "engine"),
    [
        (Situation("auto", "/usr/bin/pulumi", None, True, None), "pulumi"),
        (Situation("auto", None, Path("/root/.pulumi/versions/3"), False, 5.0), "pulumi"),
        (NOTHING, "install"),
        (Situation("auto", None, None, False, None), "embedded"),
        (Situation("auto", None, None, True, 3600.0), "embedded"),
        (Situation("auto", None, None, True, 90000.0), "install"),
        (Situation("embedded", "/usr/bin/pulumi", None, True, None), "embedded"),
        (Situation("pulumi", None, None, False, 5.0), "install"),
    ],
)
def test_the_official_engine_is_taken_where_it_can_be_had(found: Situation, engine: str) -> None:
    assert choose(found).engine == engine


@pytest.mark.parametrize("setting", [{"ANTENNA_OFFLINE": "1"}, {"CI": "true"}])
def test_nothing_is_downloaded_offline_or_in_ci(setting: dict[str, str]) -> None:
    assert choice.situation("auto", setting).may_download is False


def test_a_failed_download_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path))
    assert choice.situation("auto").failed_since is None
    choice.remember_failure()
    assert (choice.situation("auto").failed_since or 0.0) < 60.0


def test_a_probe_of_what_answers_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert choice.reachable(f"http://127.0.0.1:{server.getsockname()[1]}")


def test_a_probe_that_nobody_answers_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        time.sleep(2)
        raise OSError("at last")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.create_connection", hang)
    began = time.monotonic()
    assert not choice.reachable(seconds=0.1)
    assert time.monotonic() - began < 1.0
