"""`antenna submit`, `why` and `logs` of remote jobs, on plain objects."""

from __future__ import annotations

from typing import Any

import pytest

from infra.cli.failure import Failure, WrongInput
from infra.cli.verbs.logs import remote_output
from infra.cli.verbs.submit import remote_job
from operators.reasons import Reason
from operators.why.remote import explain_remote

ASKED: dict[str, Any] = {
    **{"site": "lumi", "partition": "small-g", "nodes": 1, "gpus": 1, "cores": None, "memory": None},
    **{"limit": "2h", "directory": None, "inputs": (), "outputs": ()},
}


def job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "train-1", "namespace": "tenant-vib"}, "status": status}


def test_a_script_becomes_a_remote_job_of_its_partner() -> None:
    made = remote_job("My Train.sh", "srun train", "vib", None, ASKED)
    assert made["metadata"] == {"generateName": "my-train-", "namespace": "tenant-vib"}
    assert made["spec"] == {
        **{"site": "lumi", "partition": "small-g", "nodes": 1, "gpusPerNode": 1},
        **{"timeLimit": "2h", "script": "srun train"},
    }


def test_files_that_it_reads_and_writes_are_passed_on() -> None:
    files = {"inputs": ("data/set.zarr",), "outputs": ("/scratch/p/model",)}
    spec = remote_job("train.sh", "x", "vib", None, {**ASKED, **files})["spec"]
    assert spec["input"] == ("data/set.zarr",)
    assert spec["output"] == ("/scratch/p/model",)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"partition": None}, "name the partition"),
        ({"limit": "soon"}, "timeLimit"),
        ({"site": "any", "partition": None, "gpus": None}, "site any needs"),
        ({"directory": "/scratch/; rm"}, "directory"),
        ({"outputs": ("out/a", "out/b c")}, r"output\.1"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_made(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongInput, match=says):
        remote_job("job.sh", "x", "vib", None, {**ASKED, **wrong})


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        ({"state": "pending", "reason": "Budget", "message": "costs up to 4 gpu-hours"},
         Reason.ADMISSION_CHECK_PENDING, "train-1 waits: costs up to 4 gpu-hours."),
        ({"state": "pending", "reason": "Queued", "message": "insufficient unused quota"},
         Reason.QUOTA_USED_UP, "train-1 waits: insufficient unused quota."),
        ({"state": "pending", "reason": "Priority", "message": "waits at LUMI: Priority", "slurmId": 7},
         Reason.BEHIND_OTHERS, "train-1 waits at LUMI: Priority."),
        ({"state": "running", "message": "runs at LUMI", "slurmId": 7},
         Reason.RUNNING, "train-1 runs at LUMI, as job 7."),
        ({"state": "failed", "reason": "UnknownSite", "message": "there is no site lummi"},
         Reason.FINISHED, "train-1 was refused: there is no site lummi."),
        ({}, Reason.UNKNOWN, "train-1 has not been seen yet."),
    ],
)  # fmt: skip
def test_each_state_has_its_explanation(status: dict[str, Any], reason: Reason, text: str) -> None:
    told = explain_remote(job(**status))
    assert (told.reason, told.text) == (reason, text)


def test_the_output_is_what_was_read_of_it() -> None:
    assert remote_output(job(logTail="epoch 1\n")) == "epoch 1\n"
    with pytest.raises(Failure, match="printed nothing"):
        remote_output(job(state="pending"))
