"""When a node's program needs other credentials."""

from __future__ import annotations

import json

import pytest

from playbooks.library.node_kubeconfig import fault, render

PARAMS = {
    "server": "https://10.77.0.10:6443",
    "cluster": "embedded",
    "user": "antenna:network-policy:gpu-1",
}
GOOD = json.dumps(render(PARAMS, "authority", "certificate", "key"), indent=2)


def test_what_was_written_is_good() -> None:
    assert fault(GOOD, PARAMS, "authority") == ""


@pytest.mark.parametrize(
    ("params", "authority"),
    [
        ({**PARAMS, "server": "https://10.77.0.11:6443"}, "authority"),
        ({**PARAMS, "user": "antenna:network-policy:gpu-2"}, "authority"),
        ({**PARAMS, "cluster": "other"}, "authority"),
        (PARAMS, "another authority"),
    ],
)
def test_one_for_another_cluster_or_user_is_not(params: dict[str, str], authority: str) -> None:
    assert fault(GOOD, params, authority) == "of another server, cluster or user"


@pytest.mark.parametrize("text", ["", "{}", "{", '{"users": []}', GOOD.replace("client-key-data", "token")])
def test_one_that_cannot_be_read_is_not(text: str) -> None:
    assert fault(text, PARAMS, "authority") == "not readable"
