"""The OpenID provider of an embedded site: its people and its key, made beside the stack's other keys.

None of it enters the state: the playbook reads these files. ``people.json`` has the passwords, for whoever
plays a person; what goes to the head has their hashes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra import paths, private_files
from infra.authentication import issuer
from infra.site import Site

ITERATIONS: Final = 1000
"""Of PBKDF2-HMAC-SHA256, as ``people.go`` has it: few, for passwords of 128 random bits."""
TOKEN_SECONDS: Final = 900
SESSION_HOURS: Final = 12
LASTS: Final = timedelta(days=365)
EARLY: Final = timedelta(days=30)
"""The certificate is made anew so long before it ends."""
_PEM: Final = serialization.Encoding.PEM
_FILES: Final = ("ca.crt", "tls.crt", "tls.key", "people.json", "issuer.json")


@dataclass(frozen=True)
class Made:
    """The files; who vouches for the provider, in PEM; what tells the files from earlier ones."""

    folder: Path
    authority: str
    digest: str


def ensure(site: Site, *, dry_run: bool = False) -> Made:
    """The provider's files, made where they are missing or not as the site says; ``dry_run`` writes none."""
    folder = paths.issuer_dir(site.stack)
    there = {name: (folder / name).read_text() for name in _FILES if (folder / name).exists()}
    texts = dict(there)
    if not _is_good(texts, site.head.address):
        texts |= certificates(site.head.address)
    known, before = (json.loads(texts.get(name, "{}")) for name in ("people.json", "issuer.json"))
    people = {
        f"{tenant.name}-{number}": list(tenant.groups)
        for tenant in site.tenants
        for number in range(1, _number(site) + 1)
    }
    if not known:
        before = {}
    if known.keys() != people.keys():
        known = {name: known.get(name) or secrets.token_urlsafe(16) for name in people}
        texts["people.json"] = json.dumps(known, indent=2)
    text = texts["issuer.json"] = json.dumps(_configuration(site, people, known, before), indent=2)
    authority = texts["ca.crt"]
    if not dry_run:
        for name in _FILES:
            if texts[name] != there.get(name):
                private_files.write(folder / name, texts[name])
        folder.chmod(0o700)
    return Made(folder, authority, hashlib.sha256(f"{text}{authority}".encode()).hexdigest())


def _number(site: Site) -> int:
    stated = site.authentication
    return stated.built_in.people if stated and stated.built_in else 0


def _configuration(
    site: Site, people: Mapping[str, list[str]], passwords: Mapping[str, str], before: Mapping[str, Any]
) -> dict[str, Any]:
    """What the program reads; a hash that is there stays, so that nothing changes without a cause."""
    kept = {p["name"]: {"salt": p["salt"], "hash": p["hash"]} for p in before.get("people", ())}
    stated = site.authentication
    built_in = stated.built_in if stated else None
    etc = "/etc/antenna/issuer"
    return {
        "issuer": issuer(site),
        "listen": f"{site.head.address}:{built_in.port if built_in else 0}",
        "certificate": f"{etc}/tls.crt",
        "key": f"{etc}/tls.key",
        "clients": [stated.audience] if stated else [],
        "seconds": TOKEN_SECONDS,
        "session_hours": SESSION_HOURS,
        "people": [
            {
                "name": name,
                "email": f"{name}@{site.stack}.antenna.example",
                "groups": groups,
                **(kept.get(name) or hashed(passwords[name])),
            }
            for name, groups in people.items()
        ],
    }


def hashed(password: str) -> dict[str, str]:
    """``salt`` and ``hash`` in hexadecimal digits."""
    salt = secrets.token_bytes(16)
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    return {"salt": salt.hex(), "hash": derived.hex()}


def _is_good(texts: Mapping[str, str], address: IPv4Address) -> bool:
    """Whether there is a certificate of this address that lasts."""
    if not all(name in texts for name in ("ca.crt", "tls.crt", "tls.key")):
        return False
    certificate = x509.load_pem_x509_certificate(texts["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasts = certificate.not_valid_after_utc - datetime.now(UTC) > EARLY
    return lasts and address in names.get_values_for_type(x509.IPAddress)


def certificates(address: IPv4Address) -> dict[str, str]:
    """A CA of one certificate, whose key is not kept, and that certificate, by the names of their files."""
    ours, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    above = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "antenna-issuer-ca")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    authority = (
        _builder(above, above, ours.public_key(), ours.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(ours, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "antenna-issuer")])
    certificate = (
        _builder(name, above, own.public_key(), ours.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .sign(ours, hashes.SHA256())
    )
    key = own.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "ca.crt": authority.public_bytes(_PEM).decode(),
        "tls.crt": certificate.public_bytes(_PEM).decode(),
        "tls.key": key.decode(),
    }


def _builder(
    subject: x509.Name, above: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )
