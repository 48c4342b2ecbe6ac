#!/usr/bin/python
"""Credentials to the cluster of a program of this machine, whose key is made here and goes nowhere."""

from __future__ import annotations

import base64
import datetime
import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_kubeconfig
short_description: A kubeconfig of a program of this machine
description:
  - Without a certificate it looks whether the kubeconfig is good (this server and authority, this user, more
    than half of its time left) and, if not, makes a key and returns a request to sign.
  - With the signed certificate it writes the kubeconfig, readable by root alone. It is JSON, which is YAML.
options:
  path: {description: Where the kubeconfig lies., type: path, required: true}
  server: {description: URL of the API., type: str, required: true}
  cluster: {description: Name of the cluster in the kubeconfig., type: str, required: true}
  user: {description: Common name., type: str, required: true}
  group: {description: Group whose rights it has., type: str, required: true}
  authority: {description: File with the cluster's authority (PEM)., type: path, required: true}
  certificate: {description: The signed certificate (PEM)., type: str}
  lifetime: {description: Days that a certificate is good for., type: int, required: true}
"""

EXAMPLES = r"""
- name: See whether the agent's credentials are good
  node_kubeconfig:
    path: /etc/antenna/network-policy/kubeconfig
    server: https://10.77.0.10:6443
    cluster: embedded
    user: antenna:network-policy:gpu-1
    group: antenna:network-policy
    authority: /etc/kubernetes/pki/ca.crt
    lifetime: 365
"""

RETURN = r"""
request: {description: Request to sign; empty when the kubeconfig is good., type: str, returned: always}
changes: {description: What is wrong with the kubeconfig., type: list, elements: str, returned: always}
"""

DATE = "%b %d %H:%M:%S %Y GMT"


def encode(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def render(params: dict[str, str], authority: str, certificate: str, key: str) -> dict[str, object]:
    """The kubeconfig. Pure."""
    cluster, user = params["cluster"], params["user"]
    server = {"server": params["server"], "certificate-authority-data": encode(authority)}
    pair = {"client-certificate-data": encode(certificate), "client-key-data": encode(key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": user, "user": pair}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
    }


def fault(text: str, params: dict[str, str], authority: str) -> str:
    """What is wrong with a kubeconfig's text, but for its certificate's end; empty when nothing is. Pure."""
    try:
        content = json.loads(text)
        user = content["users"][0]["user"]
        certificate, key = (
            base64.b64decode(user[f"client-{name}-data"]).decode() for name in ("certificate", "key")
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return "not readable"
    return (
        "" if content == render(params, authority, certificate, key) else "of another server, cluster or user"
    )


def left(module: AnsibleModule, text: str) -> datetime.timedelta:
    """How long the certificate is good for yet; none where it cannot be read."""
    pem = base64.b64decode(json.loads(text)["users"][0]["user"]["client-certificate-data"])
    code, out, _ = module.run_command(["openssl", "x509", "-noout", "-enddate"], data=pem, binary_data=True)
    if code or "=" not in str(out):
        return datetime.timedelta(0)
    end = datetime.datetime.strptime(str(out).strip().split("=", 1)[1], DATE)
    return end - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)  # noqa: UP017


def write_private(path: str, text: str) -> None:
    """Write the file for root alone, all of it or nothing."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".antenna-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def new_request(module: AnsibleModule, key_path: str) -> str:
    """Make a key beside the kubeconfig; the request (PEM) that names its owner."""
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _, key, _ = module.run_command(make, check_rc=True)
    write_private(key_path, str(key))
    subject = f"/O={module.params['group']}/CN={module.params['user']}"
    _, request, _ = module.run_command(
        ["openssl", "req", "-new", "-key", key_path, "-subj", subject], check_rc=True
    )
    return str(request)


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "str", "required": True} for name in ("server", "cluster", "user", "group")},
            "path": {"type": "path", "required": True},
            "authority": {"type": "path", "required": True},
            "certificate": {"type": "str"},
            "lifetime": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    path, key_path = params["path"], f"{params['path']}.key"
    authority = ""
    if os.path.exists(params["authority"]):
        with open(params["authority"], encoding="ascii") as file:
            authority = file.read()
    if params["certificate"]:
        with open(key_path, encoding="ascii") as file:
            key = file.read()
        write_private(path, json.dumps(render(params, authority, params["certificate"], key), indent=2))
        os.unlink(key_path)
        module.exit_json(changed=True, request="", changes=[])
    wrong = "missing"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wrong = fault(text, params, authority)
        if not wrong and (rest := left(module, text)) < datetime.timedelta(days=params["lifetime"]) / 2:
            wrong = f"ends in {rest.days} days"
    if not wrong:
        module.exit_json(changed=False, request="", changes=[])
    request = "" if module.check_mode else new_request(module, key_path)
    module.exit_json(changed=True, request=request, changes=[f"{path}: {wrong}"])


if __name__ == "__main__":
    main()
