"""Whose rights a partner's verb has: those of the person who logged in, or the administrator's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from infra import paths
from infra.cli.failure import Failure, WrongInput
from operators.kube import client
from operators.kube.client import Cluster
from operators.tenancy import namespace_name

if TYPE_CHECKING:
    from infra.cli.session import Session

_PREFIX: Final = namespace_name("")
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True)
class Access:
    """A way into the cluster. ``namespace`` is the one that a person works in, "" for an administrator."""

    api: Cluster
    kubeconfig: Path
    namespace: str

    @property
    def tenant(self) -> str:
        """The partner whose person this is; "" for an administrator."""
        return self.namespace.removeprefix(_PREFIX)

    def within(self, tenant: str | None, namespace: str | None = None) -> str | None:
        """The namespace that the options name, else the person's own; None: all of them."""
        if tenant and namespace:
            raise WrongInput("--namespace and --tenant are two names for one thing: give one of them")
        return namespace_name(tenant) if tenant else namespace or self.namespace or None


def credentials(session: Session) -> Path:
    """The kubeconfig of a partner's verb: named, of `antenna login`, or the administrator's."""
    if session.kubeconfig is not None:
        return session.kubeconfig
    own = paths.login_kubeconfig(session.stack)
    return own if own.is_file() else paths.kubeconfig(session.stack)


@contextmanager
def open_access(session: Session) -> Iterator[Access]:
    """Connected with these credentials. Says it in plain words where their rights end, or they do."""
    from operators.kube.errors import ApiError, Forbidden  # noqa: PLC0415 (loaded with the client)

    kubeconfig = credentials(session)
    tenant = partner_of(kubeconfig)
    access = Access(client.connect(kubeconfig), kubeconfig, namespace_name(tenant) if tenant else "")
    try:
        yield access
    except Forbidden as error:
        if not access.tenant:
            raise
        raise Failure(
            f"you may not: {error}",
            f"you act as a person of {access.tenant}, by {kubeconfig}",
        ) from error
    except ApiError as error:
        if error.status != _UNAUTHORIZED:
            raise
        raise Failure("your login is not good any more", f"`{session.command('login')}`") from error


def partner_of(kubeconfig: Path) -> str:
    """The partner in whose namespace the current context is; "" for any other, and without a file."""
    if not kubeconfig.is_file():
        return ""
    document = yaml.safe_load(kubeconfig.read_text()) or {}
    current = document.get("current-context")
    for one in document.get("contexts") or []:
        if one.get("name") == current:
            named = str(one["context"].get("namespace") or "")
            return named.removeprefix(_PREFIX) if named.startswith(_PREFIX) else ""
    return ""
