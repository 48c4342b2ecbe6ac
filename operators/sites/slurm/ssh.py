"""One SSH connection to a site, kept, with a session a command over it.

Host keys come from a file and nothing else is believed; the account's key comes from a file, and a
certificate of it where the site wants one. All are read anew for each connection. No agent, no password, no
configuration of the user's who runs this.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncssh
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

CONNECT_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 10.0
KEEPALIVES: Final = 3
MOST_OUTPUT_BYTES: Final = 256 << 20
MOST_ERROR_BYTES: Final = 64 << 10
_CHUNK: Final = 1 << 18

T = TypeVar("T")


class NotSent(Exception):  # noqa: N818 (what happened)
    """No session came about: nothing has reached the site."""


class Lost(Exception):  # noqa: N818
    """The session ended before its command said how it did, or time was up: it may have done anything."""


@dataclass(frozen=True)
class Ended:
    """What a command printed, and how it ended; None where a signal ended it."""

    output: bytes
    errors: bytes
    code: int | None


class Connection:
    """To one account of one site. One command at a time; safe from several threads."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        key: Path,
        known_hosts: Path,
        *,
        certificate: Path | None = None,
        key_types: Sequence[str] = (),
    ) -> None:
        """``key_types`` are the only kinds of keys that are shown to it, by ``model.KeyType``; none: all."""
        self._key_types = tuple(key_types)
        self._where = (host, port)
        self._user = user
        self._key, self._known_hosts, self._certificate = key, known_hosts, certificate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"ssh-{host}", daemon=True)
        self._thread.start()
        self._connection: asyncssh.SSHClientConnection | None = None

    def alive(self) -> bool:
        """Whether there is one, as far as is known."""
        return self._connection is not None and not self._connection.is_closed()

    def connect(self) -> None:
        """Make the connection anew. Raises NotSent."""
        self._await(self._connect(), CONNECT_SECONDS + 5, NotSent)

    def run(self, line: str, stdin: bytes, seconds: float) -> Ended:
        """Run a command line over the connection. Raises NotSent, Lost; after Lost the connection is gone."""
        try:
            return self._await(self._run(line, stdin, seconds), seconds + 5, Lost)
        except Lost:
            self.drop()
            raise

    def drop(self) -> None:
        """End the connection at once, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.call_soon_threadsafe(connection.abort)

    def close(self) -> None:
        """End the connection, and what served it."""
        if self._loop.is_closed():
            return
        self.drop()
        # After the abort that drop() has put before it.
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._thread.is_alive():
            self._loop.close()

    def _await(self, work: Coroutine[Any, Any, T], seconds: float, failure: Callable[[str], Exception]) -> T:
        if self._loop.is_closed():
            work.close()
            raise NotSent("the connection was closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise failure(f"no answer within {seconds:.0f} s") from None

    async def _connect(self) -> None:
        host, port = self._where
        self._check_key()
        certified = self._certificate is not None and self._certificate.is_file()
        key = (str(self._key), str(self._certificate)) if certified else str(self._key)
        try:
            self._connection = await asyncio.wait_for(
                asyncssh.connect(
                    host,
                    port,
                    username=self._user,
                    client_keys=[key],
                    known_hosts=str(self._known_hosts),
                    config=None,
                    agent_path=None,
                    preferred_auth="publickey",
                    keepalive_interval=KEEPALIVE_SECONDS,
                    keepalive_count_max=KEEPALIVES,
                    connect_timeout=CONNECT_SECONDS,
                    login_timeout=CONNECT_SECONDS,
                ),
                CONNECT_SECONDS,
            )
        except TimeoutError:
            raise NotSent(f"no connection within {CONNECT_SECONDS:.0f} s") from None
        except asyncssh.HostKeyNotVerifiable:
            raise NotSent("its host key is not the one that is known: nothing was sent to it") from None
        except asyncssh.PermissionDenied:
            raise NotSent("it does not accept the key") from None
        except (OSError, asyncssh.Error, ValueError) as error:
            raise NotSent(_said(error)) from None

    def _check_key(self) -> None:
        """Raises NotSent where the key is of a kind that the site does not take: it is not shown to it."""
        if not self._key_types:
            return
        try:
            kind = _key_type(self._key)
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise NotSent(f"its key cannot be read: {_said(error)}") from None
        if kind not in self._key_types:
            raise NotSent(f"its key is {kind}, and the site takes {' or '.join(self._key_types)} alone")

    async def _run(self, line: str, stdin: bytes, seconds: float) -> Ended:
        if self._connection is None:
            raise NotSent("there is no connection")
        try:
            async with asyncio.timeout(seconds):
                return await self._session(self._connection, line, stdin)
        except TimeoutError:
            raise Lost(f"no answer within {seconds:.0f} s") from None
        except asyncssh.ChannelOpenError as error:
            # The server says that it began nothing.
            raise NotSent(f"it opens no session: {error.reason}") from None
        except (OSError, asyncssh.Error) as error:
            raise Lost(f"the connection was lost: {_said(error)}") from None

    async def _session(self, connection: asyncssh.SSHClientConnection, line: str, stdin: bytes) -> Ended:
        process = await connection.create_process(line, encoding=None)
        try:
            # A command that has ended already takes nothing any more; what it said is read all the same.
            with suppress(BrokenPipeError):
                process.stdin.write(stdin)
                process.stdin.write_eof()
            output, errors = await asyncio.gather(
                _bounded(process.stdout, MOST_OUTPUT_BYTES), _bounded(process.stderr, MOST_ERROR_BYTES)
            )
            await process.wait_closed()
        finally:
            process.close()
        if process.exit_status is None:
            raise Lost("the connection was lost")
        return Ended(output, errors, None if process.exit_signal else process.exit_status)


def _key_type(path: Path) -> str:
    """The kind of a private key in OpenSSH's form: ``ed25519``, ``rsa-4096``."""
    key = load_ssh_private_key(path.read_bytes(), None)
    if isinstance(key, Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, RSAPrivateKey):
        return f"rsa-{key.key_size}"
    return type(key).__name__.removesuffix("PrivateKey").strip("_").lower()


async def _bounded(stream: asyncssh.SSHReader[bytes], most: int) -> bytes:
    """All of it; Lost where it is longer."""
    chunks, length = [], 0
    while chunk := await stream.read(_CHUNK):
        chunks.append(chunk)
        length += len(chunk)
        if length > most:
            raise Lost(f"the answer is longer than {most} bytes")
    return b"".join(chunks)


def _said(error: Exception) -> str:
    text = error.reason if isinstance(error, asyncssh.Error) else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
