"""What a partner's person sends, made of the rows of ``partner_manifests.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.kube.client import Cluster, connect
from operators.kube.errors import ApiError
from tests.merge_patch import merged

Object = dict[str, Any]

TABLE: dict[str, list[Object]] = yaml.safe_load(
    Path(__file__).with_name("partner_manifests.yaml").read_text()
)
LARGE = "QUJD" * 50_000
"""200,000 characters, of base64 too: more than one object of any kind may hold, and less than the API itself
would refuse."""

_CONTAINER: Object = {
    "name": "train",
    "image": "example/train",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
_SMALL: dict[str, Object] = {
    "Job": {
        "apiVersion": "batch/v1",
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [_CONTAINER]}}},
    },
    REMOTE_JOB: {
        "apiVersion": API_VERSION,
        "spec": {"site": "lumi", "partition": "small-g", "timeLimit": "1h", "script": "#!/bin/sh\ntrue\n"},
    },
    "ConfigMap": {"apiVersion": "v1", "data": {"key": "value"}},
    "Secret": {"apiVersion": "v1", "stringData": {"key": "value"}},
    "PersistentVolumeClaim": {
        "apiVersion": "v1",
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
}


def manifest(case: Object, namespace: str) -> Object:
    """The object of a row, of a name that the server makes."""
    kind = case["kind"]
    obj = merged(_SMALL[kind], case.get("object", {}))
    if kind == "Job":
        pod = merged(obj["spec"]["template"]["spec"], case.get("pod", {}))
        context = _CONTAINER["securityContext"]
        pod["initContainers"] = [{**c, "securityContext": context} for c in pod.get("initContainers", ())]
        pod["containers"] = [merged(one, case.get("container", {})) for one in pod["containers"]]
        template = {**obj["spec"]["template"], "spec": pod}
        obj = {**obj, "spec": {**obj["spec"], "template": template}}
    metadata = {"generateName": "sent-", "namespace": namespace, **obj.get("metadata", {})}
    return large({**obj, "kind": kind, "metadata": metadata})


def large(value: Any) -> Any:
    """The same with what is to be large in it."""
    if isinstance(value, dict):
        return {key: large(one) for key, one in value.items()}
    if isinstance(value, list):
        return [large(one) for one in value]
    return LARGE if value == "LARGE" else value


def impersonating(kubeconfig: Path, name: str, group: str) -> Cluster:
    """A client as somebody of a group, with the rights of that somebody alone."""
    made = connect(kubeconfig)
    authenticate = made.client.update_params_for_auth

    def as_them(headers: dict[str, str], *others: Any) -> None:
        headers |= {"Impersonate-User": name, "Impersonate-Group": group}
        authenticate(headers, *others)

    made.client.update_params_for_auth = as_them
    return made


def made_or_said(client: Cluster, obj: Object) -> Object | str:
    """The object as it was made, or what the API server said instead."""
    try:
        return client.create(obj)
    except ApiError as error:
        return str(error)
