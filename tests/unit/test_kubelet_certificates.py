"""Which requests for kubelets' serving certificates are approved: real requests, read by the real openssl."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from playbooks.roles.kubernetes.files.kubelet_certificates import describe, fault, is_open

NODES = {"head": "10.77.0.10", "gpu-1": "10.77.0.11"}
NAMES = (x509.DNSName("gpu-1"), x509.IPAddress(ipaddress.ip_address("10.77.0.11")))


def request(
    names: Sequence[x509.GeneralName] = NAMES,
    *,
    common_name: str = "system:node:gpu-1",
    organizations: Sequence[str] = ("system:nodes",),
    extensions: Sequence[x509.ExtensionType] = (),
    **spec: Any,
) -> dict[str, Any]:
    """A CertificateSigningRequest as gpu-1's kubelet files it, but for what a test changes."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return {
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:gpu-1",
            "groups": ["system:nodes", "system:authenticated"],
            "usages": ["digital signature", "server auth"],
            **spec,
        }
    }


def judged(asked: dict[str, Any]) -> str:
    return fault(asked, describe(asked), NODES)


def test_a_node_gets_its_own_name_and_address() -> None:
    assert judged(request()) == ""
    assert judged(request(NAMES[1:])) == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(username="system:node:gpu-9"), "no declared node"),
        (request(username="alice"), "no declared node"),
        (request(username=""), "no declared node"),
        (request(groups=["system:authenticated"]), "not in system:nodes"),
        (request(usages=["client auth", "digital signature"]), "usages"),
        (request(common_name="system:node:head"), "subject"),
        (request(organizations=["system:nodes", "system:masters"]), "subject"),
        (request(organizations=[]), "subject"),
        (request([]), "names"),
        (request([*NAMES, x509.DNSName("kubernetes.default.svc")]), "kubernetes.default.svc"),
        (request([x509.IPAddress(ipaddress.ip_address("10.77.0.10"))]), "10.77.0.10"),
        (request([*NAMES, x509.UniformResourceIdentifier("spiffe://head")]), "names"),
        (request([*NAMES, x509.RFC822Name("a@head")]), "names"),
        (request([x509.DNSName("gpu-1\n    Signature Algorithm: x"), x509.DNSName("head")]), "names"),
        (request(extensions=[x509.BasicConstraints(ca=True, path_length=None)]), "names"),
        (request(request=base64.b64encode(b"no request").decode()), "names"),
    ],
)
def test_whatever_else_is_asked_for_is_left_with_the_reason(asked: dict[str, Any], why: str) -> None:
    assert why in judged(asked)


def test_requests_of_others_and_decided_ones_are_not_looked_at() -> None:
    assert is_open(request())
    assert not is_open(request(signerName="kubernetes.io/kube-apiserver-client"))
    assert not is_open({**request(), "status": {"conditions": [{"type": "Denied"}]}})
