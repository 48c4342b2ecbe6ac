"""Until when the credentials of remote sites are good, as their files say it."""

from __future__ import annotations

import logging
from pathlib import Path

import asyncssh
import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from operators.exposition.store import Store
from operators.remote_credentials import CredentialExpiries, certificate_end, declared_end

EXPIRY = "antenna_remote_credentials_expiry_timestamp_seconds"
MARCH = 1_772_323_200
"""2026-03-01T00:00:00Z"""
APRIL = MARCH + 31 * 86_400


def certificate(end: int | None) -> bytes:
    """An account's key with the signature of a site's authority, good until ``end``."""
    authority, key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    limit = {} if end is None else {"valid_before": end}
    return authority.generate_user_certificate(
        key, "antenna", principals=["antenna"], **limit
    ).export_certificate()


class World:
    """A folder of credentials, and what is shown of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(FAMILIES)
        self.expiries = CredentialExpiries(self.store, folder)

    def look(self) -> dict[str, float]:
        """Site, and the partner where it is one's login -> when its credentials end."""
        self.expiries.look()
        text = b"".join(self.store.render(False)).decode()
        samples = [sample for one in read_text(text) for sample in one.samples]
        return {
            " ".join(filter(None, (one.labels["site"], one.labels.get("tenant")))): one.value
            for one in samples
            if one.name == EXPIRY
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    "text", ["2026-03-01T00:00:00Z", " 2026-03-01T01:00:00+01:00\n", "2026-03-01 00:00:00Z"]
)
def test_an_end_that_was_declared(text: str) -> None:
    assert declared_end(text) == MARCH


@pytest.mark.parametrize("text", ["", "soon", "2026-03-01", "2026-03-01T00:00:00", "1772323200"])
def test_an_end_without_time_and_zone_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time of RFC 3339"):
        declared_end(text)


def test_the_end_of_a_certificate_is_its_own() -> None:
    assert certificate_end(certificate(MARCH)) == MARCH
    assert certificate_end(certificate(None)) is None


def test_what_is_no_certificate_has_no_end() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(ValueError, match="a public key"):
        certificate_end(key.export_public_key())
    for line in (b"", b"ssh-ed25519", certificate(MARCH)[:90]):
        with pytest.raises(ValueError, match="no OpenSSH certificate"):
            certificate_end(line)


def test_the_earlier_of_two_ends_counts(world: World) -> None:
    (world.folder / "lumi.expires").write_text("2026-04-01T00:00:00Z\n")
    (world.folder / "lumi.cert").write_bytes(certificate(MARCH))
    (world.folder / "jupiter.expires").write_text("2026-03-01T00:00:00Z\n")
    (world.folder / "jupiter.cert").write_bytes(certificate(APRIL))
    assert world.look() == {"lumi": MARCH, "jupiter": MARCH}


def test_each_login_of_a_site_has_an_end_of_its_own(world: World) -> None:
    (world.folder / "lumi.cert").write_bytes(certificate(APRIL))
    (world.folder / "lumi.ku-leuven.cert").write_bytes(certificate(MARCH))
    (world.folder / "lumi.vib.expires").write_text("2026-04-01T00:00:00Z\n")
    assert world.look() == {"lumi": APRIL, "lumi ku-leuven": MARCH, "lumi vib": APRIL}


def test_credentials_without_a_known_end_have_no_series(world: World) -> None:
    for part in ("user", "key", "known_hosts"):
        (world.folder / f"lumi.{part}").write_text("x")
    (world.folder / "jupiter.cert").write_bytes(certificate(None))
    assert world.look() == {}
    assert World(world.folder / "nowhere").look() == {}


def test_a_secret_that_was_renewed_shows_and_one_that_is_gone_does_not(world: World) -> None:
    (world.folder / "lumi.expires").write_text("2026-03-01T00:00:00Z")
    assert world.look() == {"lumi": MARCH}
    (world.folder / "lumi.expires").write_text("2026-04-01T00:00:00Z")
    assert world.look() == {"lumi": APRIL}
    (world.folder / "lumi.expires").unlink()
    assert world.look() == {}


def test_a_file_that_cannot_be_read_is_told_once_and_never_shown_as_an_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (world.folder / "lumi.expires").write_text("next spring")
    (world.folder / "lumi.cert").write_bytes(certificate(APRIL))
    (world.folder / "jupiter.cert").write_bytes(b"\xff\x00")
    with caplog.at_level(logging.WARNING):
        assert world.look() == {"lumi": APRIL}
        world.look()
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "jupiter.cert",
        "lumi.expires",
    ]
