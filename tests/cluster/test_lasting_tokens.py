"""Tokens in Secrets, which never end: none is made, and one from before keeps no key from being changed."""

from __future__ import annotations

import pytest
import yaml

from infra.paths import REPOSITORY
from operators.kube.client import connect
from operators.kube.errors import ApiError
from tests.cluster.light import light_cluster
from tests.cluster.patience import eventually

VARIABLES = REPOSITORY / "playbooks/roles/kubernetes/vars/main.yml"
NAME = "antenna-no-lasting-tokens"


@pytest.fixture
def api(tmp_path):
    with light_cluster(tmp_path, kueue=False) as up:
        client = connect(up.kubeconfig)
        yield client
        client.close()


def token(name):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
        "type": "kubernetes.io/service-account-token",
    }


def is_refused(api):
    try:
        api.create(token("another"))
    except ApiError as error:
        return "ask for one that does with `kubectl create token`" in str(error)
    api.delete("v1", "Secret", "another", "default")
    return False


def test_no_lasting_token_is_made_and_one_from_before_can_be_written_anew(api):
    """So the API server encrypts it with a new key: `encryption_keys` writes every Secret as it is."""
    eventually(lambda: api.find("v1", "ServiceAccount", "default", "default"))
    api.create(token("before"))
    objects = yaml.safe_load(VARIABLES.read_text())["_kubernetes_objects"]
    for obj in objects:
        if obj["metadata"]["name"] == NAME:
            api.create(obj)
    eventually(lambda: is_refused(api))
    before = api.get("v1", "Secret", "before", "default")
    api.request("PUT", api.path("v1", "Secret", "default", "before"), body=before)
