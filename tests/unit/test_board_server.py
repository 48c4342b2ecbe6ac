"""The board as it is served: by real stores, over loopback, to who may see it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitoring.board import pages
from monitoring.board.answers import Answers
from monitoring.board.asks import ASKS, SOURCES, TRENDS, of_jobs
from monitoring.board.composition import board
from monitoring.board.store import Store
from monitoring.parts import NAMESPACE
from tests.ports import free_ports
from tests.unit import board_site
from tests.unit.board_world import PARTNERS

ADMINISTRATOR = "administrator"
NOBODY = "nobody"
COOKIE = re.compile(
    r"antenna_board=[\w-]{40,}; HttpOnly; Max-Age=\d+; Path=/; SameSite=strict", re.IGNORECASE
)


def series() -> Iterator[tuple[str, dict[str, str], float]]:
    """A site where every partner has work, named by a canary."""
    yield "antenna_operator_objects", {"resource": "jobs"}, 1
    yield "antenna_link_up", {"link": "lumi"}, 1
    yield "antenna_link_round_trip_seconds", {"link": "lumi"}, 0.031
    yield "DCGM_FI_DEV_POWER_USAGE", {"node": "gpu-1", "gpu": "0"}, 300
    yield "site:gpu_power_watts:sum", {}, 300
    for node in ("head", "gpu-1"):
        yield "antenna_node_ready", {"site": "local", "node": node}, 1
        yield "antenna_node_schedulable", {"site": "local", "node": node}, 1
    yield "antenna_gpus_allocatable", {"site": "local", "model": "h100"}, 8
    yield "antenna_gpus_allocated", {"site": "local", "model": "h100"}, 5
    yield "antenna_remote_source_age_seconds", {"site": "lumi", "source": "queue"}, 20
    yield "antenna_remote_source_limit_seconds", {"site": "lumi", "source": "queue"}, 300
    for name in PARTNERS:
        tenant = {"tenant": name}
        queue = {"site": "local", "queue": f"queue-{name}", **tenant}
        yield "antenna_tenant_info", {**tenant, "title": f"title-{name}"}, 1
        for state in ("pending", "running"):
            yield "antenna_queue_jobs", {**queue, "state": state}, 2
        yield "antenna_queue_oldest_pending_age_seconds", queue, 3725
        yield "antenna_queue_pending_reason", {**queue, "reason": f"reason-{name}"}, 2
        for family in ("quota", "reserved", "borrowed"):
            yield f"antenna_queue_gpus_{family}", {**queue, "flavor": "h100"}, 1
        yield "antenna_tenant_gpus_running", {"site": "local", **tenant}, 1
        for le in ("60", "600", "+Inf"):
            yield "antenna_job_wait_seconds_bucket", {**queue, "le": le}, 100
        yield "antenna_jobs_finished_total", {**queue, "outcome": f"outcome-{name}"}, 40
        budget = {"site": "lumi", **tenant, "unit": f"unit-{name}"}
        for family in ("allocated", "used", "reserved", "remaining", "burn_per_day"):
            yield f"antenna_budget_{family}", budget, 50
        yield "antenna_budget_exhaustion_timestamp_seconds", budget, time.time() + 86_400
        yield "antenna_remote_energy_joules_total", {"site": "lumi", **tenant}, 7.2e6
        for family in ("power_watts:sum", "energy_joules:increase1m", "utilization_ratio:avg"):
            yield f"tenant:gpu_{family}", tenant, 1
        job = {"site": "local", "namespace": f"tenant-{name}", "job_name": f"job-{name}"}
        yield "antenna_job_state", {**job, "state": "pending"}, 1
        yield "antenna_job_gpus", job, 1
        yield "antenna_job_created_timestamp_seconds", job, time.time() - 7200


def rules() -> dict[str, Any]:
    """Two that fire, one of them silenced, one that follows from nothing, and each partner's own."""

    def rule(name: str, **labels: str) -> dict[str, Any]:
        told = {"summary": " ".join(("summary", *labels.values())), "contact": "the team"}
        return {"alert": name, "expr": "vector(1)", "labels": labels, "annotations": told}

    own = [rule("AntennaBudgetNearlyExhausted", severity="warning", tenant=name) for name in PARTNERS]
    fires = rule("AntennaLinkDown", severity="critical", link="lumi")
    quiet = rule("AntennaNodeNotReady", severity="critical", node="gpu-1")
    pending = {**rule("AntennaEtcdNearlyFull", severity="critical"), "for": "1h"}
    beat = rule("AntennaWatchdog", severity="none")
    return {"groups": [{"name": "g", "interval": "1s", "rules": [beat, fires, quiet, pending, *own]}]}


@dataclass(frozen=True)
class Site:
    url: str
    reviews: board_site.Reviews
    token: str
    """The board's own."""

    def log_in(self, user: str, tenant: str = "") -> httpx.Client:
        """A browser that has been given a link."""
        told = httpx.post(f"{self.url}/login", json={"token": f"token-{user}", "tenant": tenant})
        assert told.status_code == 200, told.text
        entered = httpx.get(f"{self.url}/enter", params={"code": told.json()["code"]})
        assert entered.status_code == 200
        return httpx.Client(base_url=self.url, cookies=entered.cookies)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("board")
    token = folder / "token"
    token.write_text("the-boards-own")
    users = [ADMINISTRATOR, NOBODY, *PARTNERS]
    reviews = board_site.Reviews(
        {f"token-{user}": user for user in users},
        {
            ADMINISTRATOR: {(NAMESPACE, "create", "pods/portforward")},
            **{name: {(f"tenant-{name}", "list", "workloads")} for name in PARTNERS},
        },
    )
    judge, port = free_ports(2)
    with (
        reviews.serve() as api,
        board_site.alertmanager(folder) as told,
        board_site.store(folder, f"-vmalert.proxyURL=http://127.0.0.1:{judge}") as (store, _),
    ):
        board_site.plant(store, series())
        silence = {
            "matchers": [{"name": "node", "value": "gpu-1", "isRegex": False, "isEqual": True}],
            "startsAt": "2020-01-01T00:00:00Z",
            "endsAt": "2120-01-01T00:00:00Z",
            "createdBy": "a test",
            "comment": "new fans",
        }
        httpx.post(f"{told}/api/v2/silences", json=silence).raise_for_status()
        with board_site.judge(folder, judge, rules(), store, told):
            sent = len(PARTNERS) + 3
            board_site.until(
                lambda: len(httpx.get(f"{told}/api/v2/alerts").json()) == sent,
                lambda: httpx.get(f"{told}/api/v2/alerts").text,
            )
            board_site.until(lambda: bool(board_site.ask(store, "ALERTS")), lambda: "no alert is recorded")
            argv: list[Any] = [
                *(sys.executable, "-m", "monitoring.board", "--stack", "lab", "--port", str(port)),
                *("--store", store, "--alertmanager", "http://127.0.0.1:1", "--alertmanager", told),
                *("--api-server", api, "--api-token-file", token),
            ]
            url = f"http://127.0.0.1:{port}"
            with board_site.running(argv, folder / "board.log", f"{url}/healthz"):
                yield Site(url, reviews, "the-boards-own")


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_of_all_shows_what_the_real_stores_say(site: Site) -> None:
    with site.log_in(ADMINISTRATOR) as browser:
        shown = text(browser.get("/").text)
    assert "Stale" not in shown.replace("stale past", "")
    assert "could not be asked" not in shown
    assert "does not answer" not in shown
    assert f"{len(PARTNERS) + 1} firing, 2 pending or quiet" in shown
    assert "nobody is told: new fans" in shown
    assert "pending, critical" in shown
    assert "2 of 2 nodes ready" in shown
    assert "31 ms" in shown
    assert "5 held of 8 that nodes offer" in shown
    name = PARTNERS[0]
    assert f"title-{name} local, queue-{name} 2 2 1 h 2 min 2: reason-{name}" in shown
    assert f"40 outcome-{name}" in shown
    assert "All GPUs draw 300 W now" in shown
    # 7.2 MJ in the last day are 2 kWh.
    assert re.search(rf"title-{name} 1 1\.\d+e-05 2 ", shown)


def test_no_byte_of_a_partner_is_served_to_another(site: Site) -> None:
    served = {}
    for name in PARTNERS:
        with site.log_in(name, name) as browser:
            answer = browser.get("/", params={"tenant": name})
            assert answer.status_code == 200
            served[name] = answer.text + str(answer.headers)
    for name, page in served.items():
        for word in ("title", "queue", "reason", "outcome", "unit", "job"):
            assert f"{word}-{name}" in page
        assert f"summary warning {name}" in page
        assert "2 of 2 nodes ready" in text(page)
        for others in ("5 held", "300 W", "new fans", "gpu-1"):
            assert others not in text(page)
    pairs = list(permutations(PARTNERS, 2))
    assert len(pairs) == 506
    assert not [(one, other) for one, other in pairs if other in served[one]]


def test_what_somebody_may_see_is_decided_here_not_by_the_link(site: Site) -> None:
    mine, other = PARTNERS[:2]
    with site.log_in(mine, mine) as browser:
        for asked in ("", f"?tenant={other}", "?tenant=there-is-none"):
            refused = browser.get(f"/{asked}")
            assert refused.status_code == 403
            assert other not in refused.text
        assert browser.get("/?tenant=" + 'x"} or up{a="').status_code == 404
    # Who sees all may look at one.
    with site.log_in(ADMINISTRATOR) as browser:
        assert browser.get("/", params={"tenant": other}).status_code == 200


def test_a_token_opens_nothing_that_its_owner_may_not_see(site: Site) -> None:
    for body, status in (
        ({"token": "made-up"}, 401),
        ({"token": f"token-{NOBODY}"}, 403),
        ({"token": f"token-{PARTNERS[0]}"}, 403),
        ({"token": f"token-{PARTNERS[0]}", "tenant": PARTNERS[1]}, 403),
        ({"token": "x", "tenant": "../x"}, 400),
        ({"token": ""}, 400),
        ([], 400),
    ):
        answer = httpx.post(f"{site.url}/login", json=body)
        assert answer.status_code == status, answer.text
        assert "code" not in answer.json()
    assert httpx.post(f"{site.url}/login", content=b"x" * 20_000).status_code == 400
    assert set(site.reviews.asked) == {f"Bearer {site.token}"}


def test_a_link_is_good_once_and_leaves_a_strict_cookie_alone(site: Site) -> None:
    told = httpx.post(f"{site.url}/login", json={"token": f"token-{PARTNERS[0]}", "tenant": PARTNERS[0]})
    code = told.json()["code"]
    assert httpx.head(f"{site.url}/enter", params={"code": code}).status_code == 405
    first = httpx.get(f"{site.url}/enter", params={"code": code})
    assert COOKIE.fullmatch(first.headers["set-cookie"])
    assert f'content="0; url=./?tenant={PARTNERS[0]}"' in first.text
    for text_of in (first.text, first.headers["set-cookie"]):
        assert code not in text_of
        assert f"token-{PARTNERS[0]}" not in text_of
    again = httpx.get(f"{site.url}/enter", params={"code": code})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert httpx.get(f"{site.url}/enter", params={"code": "made-up"}).status_code == 401


def test_without_a_session_nothing_is_shown_and_with_one_until_it_is_left(site: Site) -> None:
    for path in ("/", f"/?tenant={PARTNERS[0]}", "/runbooks/AntennaLinkDown"):
        refused = httpx.get(f"{site.url}{path}", headers={"Cookie": "antenna_board=made-up"})
        assert refused.status_code == 401
        assert "canary" not in refused.text
    with site.log_in(ADMINISTRATOR) as browser:
        cookies = dict(browser.cookies)
        assert browser.get("/").status_code == 200
        assert browser.post("/leave").status_code == 200
        assert (
            browser.get("/", headers={"Cookie": f"antenna_board={cookies['antenna_board']}"}).status_code
            == 401
        )


def test_runbooks_are_served_by_the_alerts_names(site: Site) -> None:
    with site.log_in(PARTNERS[0], PARTNERS[0]) as browser:
        for name in ("AntennaLinkDown", "AntennaLinkDown.md"):
            page = browser.get(f"/runbooks/{name}")
            assert page.status_code == 200
            assert "<h1>AntennaLinkDown</h1>" in page.text
        for name in ("Nothing", "..%2f..%2fREADME", "../README.md"):
            assert browser.get(f"/runbooks/{name}").status_code == 404


def test_every_answer_lets_nothing_in_from_elsewhere(site: Site) -> None:
    with site.log_in(ADMINISTRATOR) as browser:
        for path in ("/", "/board.css", "/board.js", "/healthz", "/nothing", "/runbooks/AntennaLinkDown"):
            headers = browser.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; ")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


async def looks(asked: Store, *changes: Callable[[], object]) -> list[Answers]:
    """What a store says, and again after each change."""
    async with asked.client:
        found = [await asked.look()]
        for change in changes:
            change()
            found.append(await asked.look())
        return found


QUEUE = {"site": "local", "queue": "ugent", "tenant": "ugent", "state": "pending"}


def test_figures_of_a_silent_source_are_its_last_and_visibly_old(tmp_path: Path) -> None:
    """By a real scraper, which marks as gone what a target that is down told before."""
    told = """antenna_operator_objects{resource="jobs"} 1
antenna_queue_jobs{site="local",queue="q",state="pending"} 3
"""
    config = tmp_path / "scrape.json"
    with ExitStack() as kept:
        target = kept.enter_context(ExitStack())
        address = target.enter_context(board_site.target(told))
        job = {"job_name": "operator", "scrape_interval": "1s", "static_configs": [{"targets": [address]}]}
        config.write_text(json.dumps({"scrape_configs": [job]}))
        url, _ = kept.enter_context(board_site.store(tmp_path, f"-promscrape.config={config}"))
        board_site.until(
            lambda: bool(board_site.ask(url, "antenna_queue_jobs")), lambda: "nothing is scraped"
        )
        target.close()
        board_site.until(
            lambda: not board_site.ask(url, "antenna_queue_jobs"), lambda: "it is not marked as gone"
        )
        # Two minutes later, while links are told of still.
        board_site.plant(url, [("antenna_link_up", {"link": "lumi"}, 1)], until_ago=-120)
        later = Store(httpx.AsyncClient(), url, clock=lambda: time.time() + 120)
        (answers,) = asyncio.run(looks(later))
    made = board(answers, "lab")
    assert [queue.pending for queue in made.queues] == [3]
    assert made.ages["operator"].is_stale
    assert not made.ages["links"].is_stale
    assert re.search(r"Queues Stale : 2 min( \d s)? old, shown as it was then", text(pages.board(made)))


def test_without_the_store_the_last_word_is_shown_with_its_age(tmp_path: Path) -> None:
    series = [("antenna_operator_objects", {"resource": "jobs"}, 1.0), ("antenna_queue_jobs", QUEUE, 3.0)]

    def stop() -> None:
        process.terminate()
        process.wait()

    with board_site.store(tmp_path) as (url, process):
        board_site.plant(url, series)
        first, second = asyncio.run(looks(Store(httpx.AsyncClient(), url, kept_seconds=0), stop))
    assert [row.value for row in second.rows["jobs"]] == [3.0]
    assert second.heard == first.heard
    assert second.asked > first.asked
    assert "the store of figures does not answer: ConnectError" in text(pages.board(board(second, "lab")))


def test_a_store_that_hangs_holds_nobody_up_for_long() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = Store(httpx.AsyncClient(), address, [address], deadline_seconds=0.2)
        began = time.monotonic()
        (answers,) = asyncio.run(looks(asked))
    assert time.monotonic() - began < 2
    assert [sentence.rpartition(": ")[2] for sentence in answers.unknown] == ["TimeoutError"] * 3
    assert "Nothing fires" not in text(pages.board(board(answers, "lab")))


def test_however_many_look_on_the_store_is_asked_as_for_one() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"data": {"result": [], "alerts": []}})

    async def all_look() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            store = Store(client, "http://store")
            await asyncio.gather(*(store.look() for _ in range(20)))
            await asyncio.gather(*(store.look_at("ugent") for _ in range(20)))

    asyncio.run(all_look())
    assert len(asked) == len(set(asked)) == 1 + len(SOURCES) + len(ASKS) + len(TRENDS) + len(of_jobs("ugent"))
