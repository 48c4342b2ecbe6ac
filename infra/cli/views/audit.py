"""What the API server's audit log says of partners, in words. Pure.

https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from operators.tenancy import namespace_name

Record = Mapping[str, Any]

_PREFIX: Final = namespace_name("")
_OF_A_NAME: Final = frozenset({"tenants", "clusterqueues"})
"""Kinds of the whole cluster of which each object is a partner's of the same name."""
_DONE: Final = "ResponseComplete"
_ACTING_AS: Final = " as "
_PREFIX_OF_ISSUER: Final = re.compile(r"^[a-z][a-z0-9-]*[:#]")
"""As ``site:authentication`` has it."""
_REFUSED: Final = frozenset({401, 403})
_DENIED: Final = re.compile(r"denied (?:the )?request: *(.*)", re.S)
"""What an admission policy or webhook says, whatever its code: a policy's is 422 unless it says otherwise
(https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/), as for a fault."""

# verb -> (what somebody did, what somebody was refused to do)
VERBS: Final[Mapping[str, tuple[str, str]]] = {
    "create": ("made", "make"),
    "update": ("changed", "change"),
    "patch": ("changed", "change"),
    "delete": ("deleted", "delete"),
    "deletecollection": ("deleted all", "delete all"),
    "get": ("read", "read"),
    "list": ("listed", "list"),
    "watch": ("watched", "watch"),
}
# subresource -> the same, whatever the verb
SUBRESOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "attach": ("attached to", "attach to"),
    "binding": ("placed", "place"),
    "ephemeralcontainers": ("put a container into", "put a container into"),
    "eviction": ("evicted", "evict"),
    "exec": ("ran a command in", "run a command in"),
    "log": ("read the log of", "read the log of"),
    "portforward": ("opened a port of", "open a port of"),
    "proxy": ("reached through", "reach through"),
    "scale": ("scaled", "scale"),
    "token": ("took a token of", "take a token of"),
}
NOUNS: Final[Mapping[str, str]] = {
    "clusterqueues": "queue",
    "configmaps": "ConfigMap",
    "limitranges": "LimitRange",
    "localqueues": "queue",
    "networkpolicies": "NetworkPolicy",
    "persistentvolumeclaims": "volume claim",
    "remotejobs": "remote job",
    "resourcequotas": "ResourceQuota",
    "rolebindings": "role binding",
    "serviceaccounts": "service account",
    "tenants": "declaration",
}
"""Resource -> one of them, in words; of others the plural's s goes."""


@dataclass(frozen=True)
class Deed:
    """Something that somebody did to a partner, or tried to, ``times`` times until ``last``."""

    at: datetime
    last: datetime
    user: str
    groups: tuple[str, ...]
    tenant: str
    verb: str
    resource: str
    subresource: str
    name: str
    code: int
    source: str
    """The address that it came from."""
    times: int = 1
    denied: str = ""
    """What a policy had against it."""

    @property
    def refused(self) -> bool:
        """Whether the rights of who asked did not reach, or a policy did not let it."""
        return self.code in _REFUSED or bool(self.denied)

    @property
    def names(self) -> frozenset[str]:
        """What who did it is called: each of the names, with the prefix of the issuer and without."""
        users = self.user.split(_ACTING_AS)
        return frozenset((*users, *(_PREFIX_OF_ISSUER.sub("", user) for user in users)))

    @property
    def by_a_person(self) -> bool:
        """Whether no part of the cluster did it."""
        return not self.user.startswith("system:")

    def sentence(self) -> str:
        """In words, without the time."""
        past, base = SUBRESOURCES.get(self.subresource) or VERBS.get(self.verb, (self.verb, self.verb))
        status = "the status of " if self.subresource == "status" else ""
        noun = NOUNS.get(self.resource, self.resource.removesuffix("s"))
        many = noun + "s" if self.verb in ("list", "watch", "deletecollection") and not self.name else ""
        own = self.resource in _OF_A_NAME or self.resource == "namespaces"
        named = f"the {noun}" if own else f"the {noun} {self.name}"
        what = many or (named if self.name else f"a {noun}")
        whom = f"{status}{what} of {self.tenant}"
        often = f" ({self.times} times)" if self.times > 1 else ""
        if self.refused:
            why = f": {self.denied}" if self.denied else ""
            return f"{self.user} was refused to {base} {whom}{often}{why}"
        if self.code >= 400:
            return f"{self.user} tried to {base} {whom}, which failed with {self.code}{often}"
        return f"{self.user} {past} {whom}{often}"


def deeds(
    lines: Iterable[str],
    *,
    tenant: str | None = None,
    person: str | None = None,
    since: datetime | None = None,
    everybody: bool = False,
) -> list[Deed]:
    """What is in the log, the oldest first; the same again and again is one deed.

    ``person`` is a user with the prefix of the issuer or without. What parts of the cluster do is left out
    unless ``everybody`` is asked for. A line that is no record, such as one cut short, is passed over.
    """
    found = (deed for line in lines if (deed := _deed(line)) is not None)
    chosen = [
        deed
        for deed in found
        if (tenant is None or deed.tenant == tenant)
        and (person is None or person in deed.names)
        and (since is None or deed.at >= since)
        and (everybody or deed.by_a_person)
    ]
    return list(_together(sorted(chosen, key=lambda deed: deed.at)))


def _deed(line: str) -> Deed | None:
    try:
        record: Record = json.loads(line)
        about = record.get("objectRef")
        if record["stage"] != _DONE or not about:
            return None
        tenant = _tenant(about)
        return _read(record, about, tenant) if tenant else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(record: Record, about: Record, tenant: str) -> Deed:
    at = datetime.fromisoformat(record["requestReceivedTimestamp"])
    status = record.get("responseStatus") or {}
    denied = _DENIED.search(status.get("message", ""))
    who, acting = record["user"], record.get("impersonatedUser")
    user = _ACTING_AS.join((who["username"], acting["username"])) if acting else who["username"]
    return Deed(
        at=at,
        last=at,
        user=user,
        groups=tuple(g for g in who.get("groups") or () if not g.startswith("system:")),
        tenant=tenant,
        verb=record["verb"],
        resource=about["resource"],
        subresource=about.get("subresource", ""),
        name=about.get("name", ""),
        code=status.get("code", 200),
        source=", ".join(record.get("sourceIPs") or ()),
        denied=" ".join(denied[1].split()) if denied else "",
    )


def _tenant(about: Record) -> str:
    """The partner whose object it is; "" for none."""
    namespace, name = str(about.get("namespace", "")), str(about.get("name", ""))
    if about.get("resource") in _OF_A_NAME:
        return name
    # Of a Namespace the audit log gives the name as its namespace, too.
    named = name if about.get("resource") == "namespaces" else namespace
    return named.removeprefix(_PREFIX) if named.startswith(_PREFIX) else ""


def _together(found: Iterable[Deed]) -> Iterator[Deed]:
    """Each run of deeds that differ in nothing but the moment as one."""
    before: Deed | None = None
    for deed in found:
        if before is not None and replace(deed, at=before.at, last=before.last, times=before.times) == before:
            before = replace(before, last=deed.at, times=before.times + 1)
            continue
        if before is not None:
            yield before
        before = deed
    if before is not None:
        yield before
