"""What `antenna login` keeps on this host: a kubeconfig, and tokens beside it, for their owner alone."""

from __future__ import annotations

import base64
import fcntl
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from infra import paths, private_files
from infra.cli.failure import Failure

if TYPE_CHECKING:
    from infra.cli.people.oidc import Provider, Tokens

EARLY: Final = 60.0
"""Seconds before its end in which a token is renewed already."""


@dataclass(frozen=True)
class Cluster:
    """Where the API server is; ``authority`` is its CA in PEM."""

    server: str
    authority: str


def write(stack: str, provider: Provider, tokens: Tokens) -> None:
    """Keep the tokens of a login, and the provider that renews them."""
    # A renewal that is under way is of the login before, and must not come after this one's.
    with _alone(stack):
        _write(stack, provider, tokens)


def _write(stack: str, provider: Provider, tokens: Tokens) -> None:
    authority = provider.authority.read_text() if provider.authority else ""
    document = {
        "issuer": provider.issuer,
        "client": provider.client,
        "scopes": list(provider.scopes),
        "authority": authority,
        "identity": tokens.identity,
        "renewal": tokens.renewal,
        "expires": tokens.expires.isoformat(),
    }
    private_files.write(_tokens(stack), json.dumps(document))


def keep_authority(stack: str, certificates: str) -> Path | None:
    """The file of who vouches for the provider; None: whom the host trusts."""
    if not certificates:
        return None
    private_files.write(_authority(stack), certificates)
    return _authority(stack)


def write_kubeconfig(stack: str, cluster: Cluster, user: str, namespace: str) -> Path:
    """The person's kubeconfig: kubectl asks this command for the token. Its path."""
    name = f"antenna-{stack}"
    program = Path(sys.executable).with_name("antenna")
    command = (
        [str(program)] if program.exists() else [sys.executable, "-c", "from infra.cli import main; main()"]
    )
    asked = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": [*command[1:], "token", "--stack", stack],
        "env": [{"name": "ANTENNA_HOME", "value": str(paths.home_dir())}],
        "interactiveMode": "Never",
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": cluster.server,
                    "certificate-authority-data": base64.b64encode(cluster.authority.encode()).decode(),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}],
        "users": [{"name": user, "user": {"exec": asked}}],
    }
    path = paths.login_kubeconfig(stack)
    private_files.write(path, yaml.safe_dump(document, sort_keys=False))
    return path


def token(stack: str) -> tuple[str, datetime]:
    """(the token, until when it is good), renewed where it is about to expire. Raises Failure."""
    if not _tokens(stack).exists():
        raise _nobody()
    with _alone(stack):
        document = _read(stack)
        expires = datetime.fromisoformat(document["expires"])
        if (expires - datetime.now(UTC)).total_seconds() > EARLY:
            return document["identity"], expires
        if not document["renewal"]:
            raise Failure("the login has ended", "antenna login")
        # Half a second, which most calls need not.
        from infra.cli.people.oidc import Provider, renew  # noqa: PLC0415

        provider = Provider(
            document["issuer"],
            document["client"],
            tuple(document["scopes"]),
            _authority(stack) if document["authority"] else None,
        )
        tokens = renew(provider, document["renewal"])
        _write(stack, provider, tokens)
        return tokens.identity, tokens.expires


def forget(stack: str) -> bool:
    """Whether there was a login to forget."""
    there = paths.login_kubeconfig(stack).exists()
    if not paths.login_dir(stack).is_dir():
        return there
    # The lock stays: whoever waits for it finds the tokens gone, and does not keep others in their place.
    with _alone(stack):
        for path in (paths.login_kubeconfig(stack), _tokens(stack), _authority(stack)):
            path.unlink(missing_ok=True)
    return there


def _tokens(stack: str) -> Path:
    return paths.login_dir(stack) / "tokens.json"


def _authority(stack: str) -> Path:
    return paths.login_dir(stack) / "issuer.crt"


def _lock(stack: str) -> Path:
    return paths.login_dir(stack) / "lock"


def _read(stack: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(_tokens(stack).read_text())
    except FileNotFoundError:
        raise _nobody() from None
    return document


def _nobody() -> Failure:
    return Failure("nobody is logged in on this host", "antenna login")


@contextmanager
def _alone(stack: str) -> Iterator[None]:
    """One change at a time: a provider takes each renewal token once."""
    paths.login_dir(stack).mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(stack).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
