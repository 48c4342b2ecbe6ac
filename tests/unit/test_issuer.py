"""The files of an embedded site's provider, and what the API server is told of people."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from infra import issuer, paths, quotas
from infra.authentication import authentication_configuration
from infra.site import parse_site
from tests.unit.site_examples import DROP, EMBEDDED, EXISTING, edited

STATED = ("authentication", {"built_in": {"people": 2}})
FILE = "Pulumi.x.yaml"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))


def test_two_people_a_partner_whose_passwords_stay_on_this_host() -> None:
    made = issuer.ensure(parse_site(edited(EMBEDDED, STATED), FILE))
    told = json.loads((made.folder / "issuer.json").read_text())
    passwords = json.loads((made.folder / "people.json").read_text())
    assert [person["name"] for person in told["people"]] == ["imec-1", "imec-2", "ulb-1", "ulb-2"]
    assert told["people"][2]["groups"] == ["ulb"]
    assert told["issuer"] == "https://10.77.0.10:5556"
    assert not any(password in json.dumps(told) for password in passwords.values())
    assert len(set(passwords.values())) == 4
    assert {path.stat().st_mode & 0o777 for path in made.folder.iterdir()} == {0o600}
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert made.folder == paths.issuer_dir("x")


def test_nothing_changes_without_a_cause_and_a_new_partner_changes_nobody_elses() -> None:
    one = edited(EMBEDDED, STATED, ("tenants[1]", DROP))
    first = issuer.ensure(parse_site(one, FILE))
    before = json.loads((first.folder / "issuer.json").read_text())["people"]
    assert issuer.ensure(parse_site(one, FILE)) == first
    second = issuer.ensure(parse_site(edited(EMBEDDED, STATED), FILE))
    assert (second.authority, second.digest != first.digest) == (first.authority, True)
    assert json.loads((first.folder / "issuer.json").read_text())["people"][:2] == before


def test_a_dry_run_says_that_something_changes_and_writes_nothing() -> None:
    one = parse_site(edited(EMBEDDED, STATED, ("tenants[1]", DROP)), FILE)
    both = parse_site(edited(EMBEDDED, STATED), FILE)
    assert issuer.ensure(both, dry_run=True).authority
    assert not paths.issuer_dir("x").exists()
    first = issuer.ensure(both)
    files = {path: path.read_bytes() for path in first.folder.iterdir()}
    assert issuer.ensure(one, dry_run=True).digest != first.digest
    assert {path: path.read_bytes() for path in first.folder.iterdir()} == files
    assert issuer.ensure(both, dry_run=True) == first == issuer.ensure(both)


def test_a_certificate_is_made_anew_before_it_ends_and_for_another_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = parse_site(edited(EMBEDDED, STATED), FILE)
    first = issuer.ensure(site).authority
    moved = parse_site(edited(EMBEDDED, STATED, ("machines[0].address", "10.77.0.9")), FILE)
    assert issuer.ensure(moved).authority != first
    monkeypatch.setattr(issuer, "EARLY", timedelta(days=366))
    second = issuer.ensure(moved).authority
    assert issuer.ensure(moved).authority != second


def test_the_api_server_believes_the_issuer_with_prefixes_and_nobody_where_none_is_named() -> None:
    keys = edited(EXISTING, ("authentication", {"issuer": "https://login.example.org"}))
    (jwt,) = authentication_configuration(parse_site(keys, FILE))["jwt"]
    assert jwt == {
        "issuer": {"url": "https://login.example.org", "audiences": ["antenna"]},
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "oidc:"},
            "groups": {"claim": "groups", "prefix": "oidc:"},
        },
    }
    assert authentication_configuration(parse_site(EXISTING, FILE))["jwt"] == []


def test_a_partners_groups_have_the_prefix_in_the_cluster() -> None:
    plain = parse_site(EMBEDDED, FILE)
    site = parse_site(edited(EMBEDDED, STATED), FILE)
    assert quotas.partner(plain, plain.tenants[0]).groups == ("imec",)
    assert quotas.partner(site, site.tenants[0]).groups == ("oidc:imec",)
