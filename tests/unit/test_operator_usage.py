"""How the operator is called, and what it says when it cannot begin."""

from __future__ import annotations

import json
import logging
import signal

import pytest

from operators import logs
from operators.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "8443"], "is not HOST:PORT"),
        (["--listen", ":99999"], "is not HOST:PORT"),
        (["--plain"], "--plain needs a loopback address"),
        (["--plain", "--listen", "0.0.0.0:8080"], "--plain needs a loopback address"),
        (["--without", "antenna_operator_objects"], "invalid choice"),
        (["--colour"], "unrecognized arguments"),
    ],
)
def test_a_wrong_call_is_explained(capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_help_names_what_can_be_left_out(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "antenna_job_info" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "json"])
def test_without_a_cluster_it_ends_at_once_and_says_so(tmp_path, capsys, form, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    common = ["--state", str(tmp_path), "--log-format", form]
    assert main(common) == 1
    assert "name a kubeconfig" in capsys.readouterr().err
    assert main([*common, "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "there is no kubeconfig" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing is written before there is a cluster"


def test_an_error_in_json_is_one_line(capsys):
    logs.configure("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("operators.test").exception("it %s", "failed")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["message"]) == ("error", "it failed")
    assert "ValueError: two\nlines" in entry["error"]


@pytest.fixture(autouse=True)
def quiet():
    """The root logger and the handlers of signals as they were."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    root.handlers[:], root.level = before, level
    for number, handler in handlers.items():
        signal.signal(number, handler)
