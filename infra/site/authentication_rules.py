"""Rules of how people are known: one issuer, and one that can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from infra.site.problem import Problem
from infra.site.site import Site

_TAKEN: Final = frozenset({2379, 2380, 6443, 10249, 10250, 10256, 10257, 10259})
"""Ports of the head on which Kubernetes listens."""


def authentication_problems(site: Site) -> Iterator[Problem]:
    """What is wrong with the whole of it."""
    stated = site.authentication
    if stated is None:
        return
    if (stated.issuer is None) == (stated.built_in is None):
        many = "both are there: remove one" if stated.issuer else "one of them is missing; add issuer"
        yield Problem("authentication", f"people log in at an issuer or at one built in; {many}")
    if stated.built_in and site.platform != "embedded":
        yield Problem(
            "authentication.built_in",
            "is for `platform: embedded`: its people are made up; name your own issuer",
        )
    if stated.built_in and stated.built_in.port in _TAKEN:
        yield Problem(
            "authentication.built_in.port",
            f"{stated.built_in.port} is Kubernetes' own on the head; write another, such as 5556",
        )
    if stated.built_in and stated.certificate_authority:
        yield Problem(
            "authentication.certificate_authority",
            "is for an issuer elsewhere; the one built in is vouched for by the cluster's own: remove it",
        )
    if "openid" not in stated.scopes:
        yield Problem("authentication.scopes", "without openid there is no token of a person; add openid")
