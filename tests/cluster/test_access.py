"""Who may scrape: real tokens, judged by a real API server."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from operators.catalog import FAMILIES
from operators.exposition import tls
from operators.exposition.access import ALLOWED_SECONDS, AUDIENCE, GRACE_SECONDS, Access, Verdict
from operators.exposition.server import Pages, Server
from operators.exposition.store import Store
from operators.kube.client import connect
from tests.cluster.faults import proxied


@pytest.fixture
def readers(admin, namespace, name):
    """A ServiceAccount that may scrape, and one that may not."""
    for account in ("scraper", "stranger"):
        admin.kubectl("create", "serviceaccount", account, "-n", namespace)
    admin.kubectl("create", "clusterrole", name, "--verb=get", "--non-resource-url=/metrics")
    admin.kubectl(
        "create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={namespace}:scraper"
    )
    yield namespace
    admin.kubectl("delete", "clusterrolebinding,clusterrole", name)


@pytest.fixture
def token(admin, readers):
    def make(account="scraper", audience=AUDIENCE):
        arguments = ("create", "token", account, "-n", readers, "--duration=10m", f"--audience={audience}")
        return admin.kubectl(*arguments).strip()

    return make


@pytest.fixture
def scrape(admin, tmp_path):
    """The status of a scrape over TLS with these headers."""
    cluster = connect(admin.kubeconfig, long_lived=True)
    trusting = ssl.create_default_context(cadata=tls.certificate(tmp_path))
    pages = Pages(list, Store(FAMILIES), Access(cluster).judge)
    server = Server(("127.0.0.1", 0), pages, tls.context(tmp_path))
    server.start()
    url = f"https://localhost:{server.server_address[1]}/metrics"

    def status(**headers):
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:  # noqa: S310
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    yield status
    server.shutdown()
    server.server_close()
    cluster.close()


class Clock:
    """A clock that is set forward by hand."""

    def __init__(self, start):
        self.ahead, self.start = 0.0, start

    def __call__(self):
        return self.start() + self.ahead


@pytest.fixture
def through(admin, tmp_path):
    """(access, clocks, proxy, requests counted) before a proxy that can fail."""
    with proxied(admin.kubeconfig, tmp_path) as (proxy, kubeconfig):
        cluster = connect(kubeconfig, long_lived=True)
        clock, wall = Clock(time.monotonic), Clock(time.time)
        yield Access(cluster, clock=clock, wall_clock=wall), clock, wall, proxy
        cluster.close()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def forged(token, key, **claims):
    """The token with other claims, signed again with the API server's own key."""
    head, payload, _ = token.split(".")
    content = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **claims}
    changed = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    signature = private.sign(f"{head}.{changed}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{changed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_without_a_token_nothing_is_shown(scrape):
    assert scrape() == 401
    assert scrape(Authorization="Basic dTpw") == 401
    assert scrape(**bearer("")) == 401


@pytest.mark.parametrize("token", ["abc", "a.b.c", "\xfc\xe9", "x" * 8000, "x" * 12000])
def test_what_is_no_token_is_refused(scrape, token):
    assert scrape(**bearer(token)) == 401


def test_an_expired_token_is_refused(light, scrape, token):
    key = next(light.kubeconfig.parent.glob("kwok/clusters/*/pki/admin.key"))
    now = int(time.time())
    assert scrape(**bearer(forged(token(), key, iat=now - 30, nbf=now - 30, exp=now + 600))) == 200
    assert scrape(**bearer(forged(token(), key, iat=now - 900, nbf=now - 900, exp=now - 300))) == 401


def test_a_token_for_somebody_else_is_refused(scrape, token):
    assert scrape(**bearer(token(audience="https://kubernetes.default.svc"))) == 401
    assert scrape(**bearer(token(audience="another-operator"))) == 401


def test_a_token_without_the_right_is_forbidden(scrape, token):
    assert scrape(**bearer(token("stranger"))) == 403


def test_a_token_with_the_right_scrapes(scrape, token):
    assert scrape(**bearer(token())) == 200


def test_a_right_that_is_taken_away_ends_with_the_remembered_answer(admin, through, token, name):
    access, clock, _, _ = through
    header = f"Bearer {token()}"
    assert access.judge(header) is Verdict.ALLOWED
    admin.kubectl("delete", "clusterrolebinding", name)
    assert access.judge(header) is Verdict.ALLOWED
    clock.ahead += ALLOWED_SECONDS
    deadline = time.monotonic() + 10  # the API server's own authorizer hears of it a moment later
    while access.judge(header) is Verdict.ALLOWED and time.monotonic() < deadline:
        clock.ahead += ALLOWED_SECONDS
        time.sleep(0.1)
    assert access.judge(header) is Verdict.FORBIDDEN
    admin.kubectl(
        "create", "clusterrolebinding", name, f"--clusterrole={name}", "--serviceaccount=default:default"
    )


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_known_token_still_scrapes_while_the_api_server_is_away(through, token, fault):
    access, clock, wall, proxy = through
    known, unknown = f"Bearer {token()}", f"Bearer {token()}"
    assert access.judge(known) is Verdict.ALLOWED
    getattr(proxy, fault)()
    clock.ahead += ALLOWED_SECONDS
    began = time.monotonic()
    assert access.judge(known) is Verdict.ALLOWED
    assert access.judge(unknown) is Verdict.UNKNOWN
    assert time.monotonic() - began < 8, "a scraper gives up after ten seconds"
    wall.ahead += 900
    assert access.judge(known) is Verdict.UNKNOWN, "the token itself has ended"
    wall.ahead -= 900
    clock.ahead += GRACE_SECONDS
    assert access.judge(known) is Verdict.UNKNOWN


def test_answers_are_remembered(through, token, monkeypatch):
    access, clock, _, _ = through
    asked = []
    request = access._cluster.request
    monkeypatch.setattr(access._cluster, "request", lambda *a, **k: asked.append(a[1]) or request(*a, **k))
    header = f"Bearer {token()}"
    for _ in range(20):
        assert access.judge(header) is Verdict.ALLOWED
        assert access.judge("Bearer nonsense") is Verdict.UNAUTHENTICATED
    assert len(asked) == 3, "a review of each token, and one of the right"
    clock.ahead += ALLOWED_SECONDS
    access.judge(header)
    assert len(asked) == 5
