"""The operator's own key and certificate. The key is made here and never leaves."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE: Final = "antenna-operator"
NAMES: Final = (
    SERVICE,
    f"{SERVICE}.antenna-system",
    f"{SERVICE}.antenna-system.svc",
    f"{SERVICE}.antenna-system.svc.cluster.local",
    "localhost",
)
_LIFE: Final = datetime.timedelta(days=365)
_RENEWED: Final = datetime.timedelta(days=30)  # before its end


def certificate(folder: Path) -> str:
    """The certificate in ``folder``, in PEM; made with its key (``tls.crt``, ``tls.key``) where there is
    none that still lasts a month.
    """
    public, private = folder / "tls.crt", folder / "tls.key"
    if public.is_file() and private.is_file() and _lasts(public.read_bytes()):
        return public.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(
        private,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        0o600,
    )
    _write(public, _self_signed(key).public_bytes(serialization.Encoding.PEM), 0o644)
    return public.read_text()


def context(folder: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with the certificate in ``folder``."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_2
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return server


def _lasts(pem: bytes) -> bool:
    end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    return end - datetime.datetime.now(datetime.UTC) > _RENEWED


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable to others in between."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    new.replace(path)
