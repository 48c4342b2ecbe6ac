"""What the API server is told of people: who issues their tokens, and what a token makes of them. Pure."""

from __future__ import annotations

from typing import Any

from infra.site import Site


def issuer(site: Site) -> str:
    """Where people log in; "" where nobody does."""
    stated = site.authentication
    if stated is None:
        return ""
    return stated.issuer or f"https://{site.head.address}:{stated.built_in.port if stated.built_in else 443}"


def authentication_configuration(site: Site, certificate_authority: str = "") -> dict[str, Any]:
    """The API server's file: https://kubernetes.io/docs/reference/access-authn-authz/authentication/

    ``certificate_authority`` is that of an issuer that the site itself makes.
    """
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    stated = site.authentication
    if stated is None:
        return {**kind, "jwt": []}
    authority = stated.certificate_authority or certificate_authority
    issued_by = {
        "url": issuer(site),
        "audiences": [stated.audience],
        **({"certificateAuthority": authority} if authority else {}),
    }
    return {
        **kind,
        "jwt": [
            {
                "issuer": issued_by,
                "claimMappings": {
                    "username": stated.username.model_dump(),
                    "groups": stated.groups.model_dump(),
                },
            }
        ],
    }
