"""Secrets by passphrase, in Pulumi's format: AES-256-GCM, the key by PBKDF2 from a passphrase and a salt."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.engine.errors import PassphraseError, StateError


class Cipher:
    """Encrypts and decrypts the secrets of one stack.

    The key is derived (half a second) when the first secret is met, and pulumi-crypto is imported then (a
    quarter): a stack without secrets never waits.
    `salt` is the text that Pulumi keeps as ``encryptionsalt``; empty makes a new one when it is first needed.
    """

    def __init__(self, salt: str, environ: Mapping[str, str]) -> None:
        self._salt = salt
        self._environ = environ
        self._key = b""
        self._lock = threading.Lock()
        # A secret that did not change keeps its ciphertext, so that a state without changes stays the same.
        self._known: dict[str, str] = {}

    def provider_state(self) -> dict[str, Any]:
        """Return what a checkpoint says of its secrets' provider. Makes the salt if there is none."""
        if not self._salt:
            self._unlock()
        return {"type": "passphrase", "state": {"salt": self._salt}}

    def encrypt(self, plaintext: str) -> str:
        """Return the ciphertext. Raises PassphraseError."""
        key = self._unlock()
        from pulumi_crypto.util import encrypt_string  # noqa: PLC0415 (see the class)

        if plaintext not in self._known:
            self._known[plaintext] = encrypt_string(plaintext, key)
        return self._known[plaintext]

    def decrypt(self, ciphertext: str) -> str:
        """Return the plaintext. Raises PassphraseError."""
        from pulumi_crypto.exceptions import PulumiCryptoError  # noqa: PLC0415 (see the class)
        from pulumi_crypto.util import decrypt_string  # noqa: PLC0415

        key = self._unlock()
        try:
            plaintext = decrypt_string(ciphertext, key)
        except PulumiCryptoError as error:
            raise PassphraseError("a secret cannot be decrypted with the stack's passphrase") from error
        self._known[plaintext] = ciphertext
        return plaintext

    def _unlock(self) -> bytes:
        from pulumi_crypto.constants import (  # noqa: PLC0415 (see the class)
            PASSPHRASE_SALT_SIZE_BYTES,
            VERIFICATION_PLAINTEXT,
        )
        from pulumi_crypto.exceptions import PulumiCryptoError  # noqa: PLC0415
        from pulumi_crypto.util import decrypt_string, encrypt_string  # noqa: PLC0415

        with self._lock:
            if self._key:
                return self._key
            if not self._salt:
                salt = os.urandom(PASSPHRASE_SALT_SIZE_BYTES)
                self._key = _derive(_passphrase(self._environ), salt)
                check = encrypt_string(VERIFICATION_PLAINTEXT, self._key)
                self._salt = f"v1:{base64.b64encode(salt).decode()}:{check}"
                return self._key
            try:
                version, encoded, check = self._salt.split(":", 2)
                salt = base64.b64decode(encoded)
            except ValueError as error:
                raise StateError("the encryption salt is malformed") from error
            if version != "v1":
                raise StateError(f"the encryption salt has version {version}; this engine knows v1")
            key = _derive(_passphrase(self._environ), salt)
            try:
                decrypt_string(check, key)
            except PulumiCryptoError as error:
                raise PassphraseError(
                    "the passphrase is not the one that this stack's secrets were encrypted with; "
                    "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"
                ) from error
            self._key = key
            return key


def salt_of(secrets_provider: Mapping[str, Any] | None) -> str:
    """Return the salt in a checkpoint's secrets provider, empty for none. Raises StateError for others."""
    if not secrets_provider or not secrets_provider.get("type"):
        return ""
    if secrets_provider["type"] != "passphrase":
        raise StateError(
            f"the state's secrets are kept by {secrets_provider['type']!r}; only a passphrase will do here"
        )
    return str(secrets_provider["state"]["salt"])


def _passphrase(environ: Mapping[str, str]) -> str:
    if "PULUMI_CONFIG_PASSPHRASE" in environ:
        return environ["PULUMI_CONFIG_PASSPHRASE"]
    if file := environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise PassphraseError(f"the passphrase cannot be read: {error}") from error
    raise PassphraseError("no passphrase: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE")


def _derive(passphrase: str, salt: bytes) -> bytes:
    from pulumi_crypto.constants import PBKDF2_COUNT  # noqa: PLC0415 (see Cipher)

    # pulumi-crypto derives the same key in pure Python, ten times slower.
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, PBKDF2_COUNT)
