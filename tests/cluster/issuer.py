"""The OpenID provider of embedded sites as a process of this host, and a person in front of its page."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from infra.issuer import certificates, hashed
from infra.tools.build import binary, build
from infra.tools.pins import tool
from tests.cluster.patience import eventually


@dataclass(frozen=True)
class Issuer:
    """One that is up. ``authority`` vouches for it, in PEM; ``passwords`` are people's."""

    url: str
    authority: str
    passwords: Mapping[str, str]

    def log_in(self, address: str, name: str, password: str | None = None) -> str:
        """Fill in the page at ``address`` as this person; the page that comes back."""
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)["user_code"][0]
        said = {"user_code": code, "username": name, "password": password or self.passwords[name]}
        try:
            return self.open("/device", urllib.parse.urlencode(said).encode())
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def open(self, path: str, data: bytes | None = None) -> str:
        """A page. Raises HTTPError."""
        trusting = ssl.create_default_context(cadata=self.authority)
        with urllib.request.urlopen(self.url + path, data, timeout=10, context=trusting) as answer:  # noqa: S310
            return str(answer.read().decode())


@contextmanager
def issuer(
    folder: Path, port: int, people: Mapping[str, Sequence[str]], *, seconds: int, clients: Sequence[str]
) -> Iterator[Issuer]:
    """Up when entered, gone when left. ``people`` are names with their groups."""
    build([tool("issuer")], print)
    folder.mkdir()
    for name, text in certificates(IPv4Address("127.0.0.1")).items():
        (folder / name).write_text(text)
    authority = (folder / "ca.crt").read_text()
    passwords = {name: secrets.token_urlsafe(16) for name in people}
    url = f"https://127.0.0.1:{port}"
    configuration = folder / "issuer.json"
    configuration.write_text(
        json.dumps(
            {
                "issuer": url,
                "listen": f"127.0.0.1:{port}",
                "certificate": str(folder / "tls.crt"),
                "key": str(folder / "tls.key"),
                "clients": clients,
                "seconds": seconds,
                "session_hours": 1,
                "people": [_person(name, groups, passwords[name]) for name, groups in people.items()],
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary(tool("issuer"), "issuer"), configuration], stderr=log)
    up = Issuer(url, authority, passwords)
    try:
        eventually(lambda: _answers(up))
        yield up
    finally:
        process.terminate()
        process.wait(10)


def _answers(up: Issuer) -> bool:
    try:
        return bool(up.open("/.well-known/openid-configuration"))
    except OSError:
        return False


def _person(name: str, groups: Sequence[str], password: str) -> dict[str, object]:
    person = {"name": name, "email": f"{name}@example.org", "groups": list(groups)}
    return {**person, **hashed(password)}
