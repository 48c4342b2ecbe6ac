"""`antenna login`, `token` and `logout`, where no provider is reached: each ends with one message."""

from __future__ import annotations

import json
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from authlib.integrations.base_client import OAuthError
from click.testing import CliRunner, Result
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from infra import issuer, paths
from infra.cli import main
from infra.cli.people import kept_login, oidc
from infra.cli.people.oidc import Provider, Tokens
from infra.cli.verbs import login as login_verb
from infra.site import parse_site
from tests.unit.site_examples import EMBEDDED, edited

STACK = "x"
BUILT_IN = ("authentication", {"built_in": {"port": 59999}})


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    monkeypatch.delenv("ANTENNA_KUBECONFIG", raising=False)


@pytest.fixture
def cluster(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "ca.crt").write_text("no matter")
    return ("--server", "https://192.0.2.1:6443", "--certificate-authority", str(tmp_path / "ca.crt"))


def antenna(*words: str) -> Result:
    return CliRunner().invoke(main, ["--stack", STACK, *words])


def site_file(folder: Path, *edits: tuple[str, Any]) -> tuple[str, str]:
    path = folder / f"Pulumi.{STACK}.yaml"
    keys = edited(EMBEDDED, *edits)
    path.write_text(yaml.safe_dump({"config": {f"site:{key}": value for key, value in keys.items()}}))
    return "--config-file", str(path)


def keep(expires: datetime, renewal: str = "") -> None:
    provider = Provider("https://127.0.0.1:59999", "antenna", ("openid",))
    kept_login.write(STACK, provider, Tokens("the token", renewal, expires))


def test_a_site_without_an_issuer_says_what_to_add(tmp_path: Path, cluster: tuple[str, ...]) -> None:
    done = antenna(*site_file(tmp_path), "login", *cluster)
    assert done.exit_code == 2
    assert "names no issuer" in done.output
    assert "site:authentication" in done.output


def test_where_the_cluster_is_must_be_known(tmp_path: Path) -> None:
    done = antenna(*site_file(tmp_path, BUILT_IN), "login")
    assert done.exit_code == 2
    assert "--server and --certificate-authority" in done.output


def test_who_vouches_for_a_built_in_issuer_must_be_known(
    tmp_path: Path, cluster: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    described = site_file(tmp_path, BUILT_IN)
    done = antenna(*described, "login", *cluster)
    assert done.exit_code == 2
    assert "--issuer-authority" in done.output
    # For documentation alone: nobody is there. https://datatracker.ietf.org/doc/html/rfc5737
    monkeypatch.setattr(oidc, "SECONDS", 1.0)
    keys = edited(EMBEDDED, BUILT_IN, ("machines[0].address", "192.0.2.1"))
    keys["network"] |= {"cidr": "192.0.2.0/24", "gateway": "192.0.2.2"}
    for number, machine in enumerate(keys["machines"][1:], 5):
        machine["address"] = f"192.0.2.{number}"
    issuer.ensure(parse_site(keys, f"Pulumi.{STACK}.yaml"))
    here = site_file(tmp_path, *keys.items())
    done = antenna(*here, "login", *cluster)
    assert done.exit_code == 1
    assert "https://192.0.2.1:59999 does not answer" in done.output
    assert not paths.login_kubeconfig(STACK).exists()


def test_a_token_that_lasts_is_printed_as_kubectl_reads_it() -> None:
    keep(datetime.now(UTC) + timedelta(hours=1))
    told = json.loads(antenna("token").stdout)
    assert told["kind"] == "ExecCredential"
    assert told["status"]["token"] == "the token"  # noqa: S105 (no secret)
    assert told["status"]["expirationTimestamp"].endswith("Z")


@pytest.mark.parametrize(("renewal", "says"), [("", "the login has ended"), ("x", "does not answer")])
def test_a_token_that_has_ended_is_not_printed(renewal: str, says: str) -> None:
    keep(datetime.now(UTC) - timedelta(seconds=1), renewal)
    done = antenna("token")
    assert done.exit_code == 1
    assert says in done.output
    assert "the token" not in done.output.replace("the token has", "")


def test_a_logout_leaves_nothing() -> None:
    assert "nobody was logged in" in antenna("logout").output
    keep(datetime.now(UTC) + timedelta(hours=1))
    kept_login.write_kubeconfig(
        STACK, kept_login.Cluster("https://192.0.2.1:6443", "ca"), "oidc:ann", "tenant-ulb"
    )
    assert antenna("logout").exit_code == 0
    assert [(path.name, path.read_text()) for path in paths.login_dir(STACK).iterdir()] == [("lock", "")]
    assert "nobody is logged in" in antenna("token").output


def test_a_login_that_comes_to_nothing_leaves_nothing(
    tmp_path: Path, cluster: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubeconfig without a partner would stand in the administrator's place with every verb."""
    tokens = Tokens("the token", "", datetime.now(UTC) + timedelta(hours=1))
    monkeypatch.setattr(oidc, "begin", lambda _: oidc.Code("ABCD", "https://x/device", "d", 1, 1))
    monkeypatch.setattr(oidc, "wait", lambda *_: tokens)
    monkeypatch.setattr(kept_login, "write_kubeconfig", made := Kubeconfigs(kept_login.write_kubeconfig))
    monkeypatch.setattr(login_verb, "client", Nobody())
    issuer_key = ("authentication", {"issuer": "https://login.example.org"})
    done = antenna(*site_file(tmp_path, issuer_key), "login", *cluster)
    assert done.exit_code == 2
    assert "oidc:eve belongs to no partner" in done.output
    assert made.written == [paths.login_kubeconfig(STACK)]
    assert not paths.login_kubeconfig(STACK).exists()
    assert "nobody is logged in" in antenna("token").output


class Kubeconfigs:
    """Writes them, and tells which."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self.written: list[Path] = []

    def __call__(self, *said: Any) -> Path:
        self.written.append(self._write(*said))
        return self.written[-1]


class Nobody:
    """An API server that knows a person of no partner."""

    def connect(self, _: Path) -> Nobody:
        return self

    def create(self, _: Any) -> dict[str, Any]:
        return {"status": {"userInfo": {"username": "oidc:eve", "groups": ["oidc:elsewhere"]}}}

    def close(self) -> None:
        """Nothing is open."""


def test_a_renewal_that_is_under_way_does_not_undo_a_new_login(monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    asked, answers = threading.Event(), threading.Event()

    def renew(*_: Any) -> Tokens:
        asked.set()
        answers.wait(10)
        return Tokens("of ann, renewed", "x", later)

    monkeypatch.setattr(oidc, "renew", renew)
    keep(datetime.now(UTC), "x")
    renewal = threading.Thread(target=kept_login.token, args=(STACK,))
    renewal.start()
    assert asked.wait(10)
    provider = Provider("https://127.0.0.1:59999", "antenna", ("openid",))
    new = threading.Thread(target=kept_login.write, args=(STACK, provider, Tokens("of eve", "y", later)))
    new.start()
    new.join(0.2)
    answers.set()
    renewal.join(10)
    new.join(10)
    assert kept_login.token(STACK)[0] == "of eve"


def test_a_connection_that_is_lost_while_somebody_logs_in_does_not_end_the_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 8628, 3.5: it is asked again, more slowly."""
    answers: list[Any] = [
        requests.ConnectionError("reset"),
        OAuthError("authorization_pending"),
        requests.Timeout("too long"),
        {},
    ]
    tokens, pauses = Tokens("the token", "", datetime.now(UTC)), list[float]()

    class Session:
        def fetch_token(self, *_: Any, **__: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(oidc, "_session", lambda _: nullcontext((Session(), {"token_endpoint": ""})))
    monkeypatch.setattr(oidc, "_tokens", lambda *_: tokens)
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    provider = Provider("https://x", "antenna", ("openid",))
    assert oidc.wait(provider, oidc.Code("ABCD", "https://x/device", "d", 1, 60)) == tokens
    assert pauses == [6, 6, 11]


@pytest.mark.parametrize(("ahead", "good"), [(30, True), (300, False)])
def test_a_clock_that_is_a_little_behind_keeps_nobody_out(ahead: int, good: bool) -> None:
    """The provider stamps the token with its own clock."""
    key = ECKey.generate_key("P-256", {"kid": "1"})
    made = int(time.time()) + ahead
    claims = {"iss": "https://x", "aud": "antenna", "iat": made, "exp": made + 900}
    told = {"id_token": jwt.encode({"alg": "ES256", "kid": "1"}, claims, key)}

    class Session:
        def request(self, *_: Any, **__: Any) -> Session:
            return self

        def json(self) -> Any:
            return {"keys": [key.as_dict(private=False)]}

    provider = Provider("https://x", "antenna", ("openid",))
    with nullcontext() if good else pytest.raises(JoseError):
        found = oidc._tokens(provider, Session(), {"jwks_uri": ""}, told, "")  # type: ignore[arg-type]
        assert found.expires.timestamp() == made + 900
