"""Who partners' people are: an OpenID provider whose word the API server takes."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import AfterValidator, Field

from infra.site.values import Model, Port, Positive, refuse

SERVICE_ACCOUNTS: Final = "https://kubernetes.default.svc.cluster.local"
"""The issuer of the cluster's own tokens, as kubeadm names it."""


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https":
        raise refuse(f"{value!r} is no https:// address: who is on the way could name people; write https://")
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise refuse(
            f"{value!r} is no issuer: it has a host, and neither user nor query; write it as the provider's "
            "/.well-known/openid-configuration does"
        )
    if value.rstrip("/") == SERVICE_ACCOUNTS:
        raise refuse(f"{value!r} issues the cluster's own tokens; name the provider of your people")
    return value


def _prefix(value: str) -> str:
    if value.startswith(("system:", "kubeadm:")):
        raise refuse(
            f"{value!r} would make people of the provider Kubernetes' own; write one such as 'oidc:'"
        )
    return value


def _certificates(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise refuse("holds a private key, which nobody but the CA needs; leave its certificate alone here")
    try:
        x509.load_pem_x509_certificates(value.encode())
    except ValueError:
        raise refuse(
            "is no certificate in PEM; put the text of the CA's file here, from -----BEGIN CERTIFICATE----- "
            "on"
        ) from None
    return value


Issuer = Annotated[
    str, Field(strict=True, max_length=253, examples=["https://login.example.org"]), AfterValidator(_issuer)
]
Audience = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9:._/-]{0,127}$", examples=["antenna"])
]
ClaimName = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_:./-]{0,127}$", examples=["groups"])
]
Prefix = Annotated[
    str,
    Field(strict=True, pattern=r"^[a-z][a-z0-9-]{0,30}[:#]$", examples=["oidc:"]),
    AfterValidator(_prefix),
]
"""Never empty: without it a provider could name ``system:masters``."""
Certificates = Annotated[str, Field(strict=True, max_length=65536), AfterValidator(_certificates)]
Scope = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_:./-]{1,128}$")]


class Claim(Model):
    """Which claim of the token says it; the cluster knows it with the prefix in front."""

    claim: ClaimName
    prefix: Prefix = "oidc:"


class BuiltIn(Model):
    """An OpenID provider on the head of an embedded site, with made-up people of every partner."""

    port: Annotated[Port, Field(ge=1024)] = 5556
    people: Annotated[Positive, Field(le=20)] = 2
    """How many a partner has."""


class Authentication(Model):
    """What tokens of people the API server takes, and how `antenna login` gets one."""

    issuer: Issuer | None = None
    built_in: BuiltIn | None = None
    """In place of ``issuer``."""
    audience: Audience = "antenna"
    """The client that the provider knows `antenna login` by; tokens for anybody else are refused."""
    username: Claim = Claim(claim="sub")
    groups: Claim = Claim(claim="groups")
    """Tenants' ``groups`` are what this claim holds, without the prefix."""
    certificate_authority: Certificates | None = None
    """Who vouches for the issuer's certificate, in PEM; by default whom the machines trust."""
    scopes: tuple[Scope, ...] = ("openid", "offline_access", "groups")
    """What `antenna login` asks for; offline_access: to renew the token."""
