"""Until when the credentials of remote sites are good: what their files say, as a metric.

Sites give keys and certificates a limited life. ``SITE.TENANT.cert`` tells its own end; of a key that the
site ends on a day that stands nowhere in it, ``SITE.TENANT.expires`` holds that day. Of both the earlier one
counts. The login that reads has ``SITE.cert`` and ``SITE.expires``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from operators.exposition.store import Store

EXPIRY: Final = "antenna_remote_credentials_expiry_timestamp_seconds"
EXPIRES: Final = "expires"
CERTIFICATE: Final = "cert"
_FOREVER: Final = 2**64 - 1
"""valid_before of a certificate without an end: PROTOCOL.certkeys of OpenSSH."""

_log = logging.getLogger(__name__)


def declared_end(text: str) -> int:
    """The time that a file SITE.expires holds, in seconds since the epoch.

    Raises ValueError where it is not one of RFC 3339: a date without time and zone may be off by a day.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text.strip()[:40]!r} is not a time of RFC 3339, like 2026-03-01T00:00:00Z")
    return int(moment.timestamp())


def certificate_end(line: bytes) -> int | None:
    """valid_before of an OpenSSH certificate (``...-cert-v01@openssh.com AAAA...``); None: it has no end.

    In seconds since the epoch. Raises ValueError where it is no certificate.
    """
    try:
        found = load_ssh_public_identity(line.strip())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"no OpenSSH certificate: {error}") from None
    if not isinstance(found, SSHCertificate):
        raise ValueError("a public key, not a certificate of one")
    return None if found.valid_before == _FOREVER else found.valid_before


class CredentialExpiries:
    """The metric, of a folder of credentials as ``operators.dispatch.access`` takes it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._shown: frozenset[tuple[str, str]] = frozenset()
        self._told: frozenset[str] = frozenset()

    def look(self) -> None:
        """Show what the files say now; to be called now and then, as a Secret changes under its mount.

        A file that cannot be read is told in the log, once, and its login shows what its other file says.
        """
        ends: dict[tuple[str, str], int] = {}
        wrong = set()
        for path in self._files():
            try:
                end = _end(path)
            except (OSError, ValueError) as error:
                wrong.add(f"{path.name}: {error}")
            else:
                if end is not None:
                    site, _, tenant = path.stem.partition(".")
                    ends[site, tenant] = min(end, ends.get((site, tenant), end))
        for problem in sorted(wrong - self._told):
            _log.warning("when these credentials end is not known: %s", problem)
        with self._store.writing:
            for login in self._shown - ends.keys():
                self._store.remove(EXPIRY, login)
            for login, end in ends.items():
                self._store.set(EXPIRY, login, end)
        self._shown, self._told = frozenset(ends), frozenset(wrong)

    def _files(self) -> Iterator[Path]:
        for kind in (EXPIRES, CERTIFICATE):
            yield from sorted(self._folder.glob(f"*.{kind}"))


def _end(path: Path) -> int | None:
    if path.suffix == f".{CERTIFICATE}":
        return certificate_end(path.read_bytes())
    return declared_end(path.read_text())
