#!/usr/bin/python
"""The operator's credentials to the cluster, made where the operator is."""

from __future__ import annotations

import base64
import datetime
import os
import tempfile
from typing import Any

import yaml
from ansible.module_utils.basic import AnsibleModule
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DOCUMENTATION = r"""
module: operator_kubeconfig
short_description: A kubeconfig whose private key is made here and goes nowhere
description:
  - Runs on the operator's host. Without a certificate it looks whether the kubeconfig is good (this cluster's
    authority, a key that fits, enough time left) and, if not, makes a key and returns a request to sign.
  - With the signed certificate it writes the kubeconfig, readable by its owner alone.
options:
  path: {description: Where the kubeconfig lies., type: path, required: true}
  server: {description: URL of the API., type: str, required: true}
  cluster: {description: Name of the cluster in the kubeconfig., type: str, required: true}
  user: {description: Common name of the operator., type: str, required: true}
  group: {description: Group whose rights the operator has., type: str, required: true}
  ca_certificate: {description: The cluster's authority (PEM)., type: str, required: true}
  certificate: {description: The signed certificate (PEM)., type: str}
  renew_before: {description: Days before its end that a certificate is renewed., type: int, default: 30}
  lifetime: {description: Days that a certificate is good for at most., type: int, default: 365}
"""

EXAMPLES = r"""
- name: See whether the operator's credentials are good
  operator_kubeconfig:
    path: ~/.kube/antenna
    server: https://10.77.0.10:6443
    cluster: embedded
    user: operator
    group: kubeadm:cluster-admins
    ca_certificate: "{{ ca }}"
"""

RETURN = r"""
request: {description: Request to sign; empty when the kubeconfig is good., type: str, returned: always}
changes: {description: What is wrong with the kubeconfig., type: list, elements: str, returned: always}
"""

MODE = 0o600


def decode(data: str) -> str:
    """Text behind base64."""
    return base64.b64decode(data).decode()


def encode(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def public_pem(key: Any) -> bytes:
    """A public key as PEM, to compare two of them."""
    return bytes(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def fault(text: str, server: str, ca_certificate: str, days: int, lifetime: int) -> str:
    """What is wrong with a kubeconfig's text; empty when it is good."""
    try:
        content = yaml.safe_load(text)
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        certificate = x509.load_pem_x509_certificate(decode(user["client-certificate-data"]).encode())
        key = serialization.load_pem_private_key(decode(user["client-key-data"]).encode(), None)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        return "not readable"
    if cluster.get("server") != server:
        return f"for {cluster.get('server')}, declared {server}"
    if decode(cluster.get("certificate-authority-data", "")).strip() != ca_certificate.strip():
        return "for another cluster"
    if public_pem(key.public_key()) != public_pem(certificate.public_key()):
        return "key and certificate do not fit"
    given = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    # Certificates begin a little before they are made.
    if given > datetime.timedelta(days=lifetime, hours=1):
        return f"good for {given.days} days, declared {lifetime}"
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return "" if left > datetime.timedelta(days=days) else f"ends in {left.days} days"


def write_private(path: str, text: str) -> None:
    """Write the file for its owner alone, all of it or nothing."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".antenna-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, MODE)
    os.replace(temporary, path)


def new_request(key_path: str, user: str, group: str) -> str:
    """Make a key beside the kubeconfig; the request (PEM) that names its owner."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_path, pem.decode())
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
        x509.NameAttribute(NameOID.COMMON_NAME, user),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def render(params: dict[str, Any], key: str) -> str:
    """The kubeconfig's text."""
    cluster, user = params["cluster"], params["user"]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "server": params["server"],
                    "certificate-authority-data": encode(params["ca_certificate"]),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": encode(params["certificate"]),
                    "client-key-data": encode(key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
    }
    return str(yaml.safe_dump(content, sort_keys=False))


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "server": {"type": "str", "required": True},
            "cluster": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "ca_certificate": {"type": "str", "required": True},
            "certificate": {"type": "str"},
            "renew_before": {"type": "int", "default": 30},
            "lifetime": {"type": "int", "default": 365},
        },
        supports_check_mode=True,
    )
    params = module.params
    path, key_path = params["path"], f"{params['path']}.key"
    if params["certificate"]:
        with open(key_path, encoding="ascii") as file:
            key = file.read()
        write_private(path, render(params, key))
        os.unlink(key_path)
        module.exit_json(changed=True, request="", changes=[])
    wrong = "missing"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            wrong = fault(
                file.read(),
                params["server"],
                params["ca_certificate"],
                params["renew_before"],
                params["lifetime"],
            )
    if not wrong:
        module.exit_json(changed=False, request="", changes=[])
    request = "" if module.check_mode else new_request(key_path, params["user"], params["group"])
    module.exit_json(changed=True, request=request, changes=[f"operator's kubeconfig: {wrong}"])


if __name__ == "__main__":
    main()
