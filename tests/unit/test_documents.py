"""Budgets and usage as documents: exact sums of the ledger, over real sockets, to who may reach them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from fractions import Fraction

import pytest

from operators.exposition.server import Pages, Server
from tests.unit import usage_world as world

MONTH = {"from": str(world.START), "to": str(world.NOW)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    found, ledgers = world.make(tmp_path_factory.mktemp("usage") / "ledger.sqlite")
    yield found
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def get(made):
    server = Server(("127.0.0.1", 0), Pages(list, documents=made))
    server.start()

    def ask(path):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.server_address[1]}{path}", timeout=30
            ) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    yield ask
    server.shutdown()
    server.server_close()


def budget(made, tenant, site):
    (one,) = [b for b in made["/budgets"]({})["budgets"] if (b["tenant"], b["site"]) == (tenant, site)]
    return one


def test_the_days_of_a_period_add_up_to_the_budget_of_that_month(made):
    rows = made["/usage"](MONTH)["rows"]
    mine = [row["used"] for row in rows if (row["tenant"], row["site"]) == ("imec", "jupiter")]
    assert sum(mine) == pytest.approx(budget(made, "imec", "jupiter")["used"], abs=1e-4)
    assert len({row["day"] for row in rows}) == 28


def test_a_budget_says_all_there_is_to_know(made):
    one = budget(made, "ugent", "lumi")
    assert one["allocated"] == 4000
    assert one["from"] == "2026-01-01T00:00:00Z"
    assert one["remaining"] == pytest.approx(one["allocated"] - one["used"] - one["reserved"])
    assert one["reserved"] == 16 * 23
    assert one["site_used"] == 1000.5
    assert one["difference"] is not None
    month = budget(made, "imec", "jupiter")
    assert (month["from"], month["to"]) == ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    assert month["allocated"] == 1_000_000  # a half of a year's sixth, and January's rest
    local = budget(made, "ulb", "local")
    assert (local["allocated"], local["remaining"], local["exhaustion"]) == (None, None, None)
    assert local["used"] > 0


def test_a_half_of_a_period_and_the_other_half_are_the_whole(made):
    middle = str(world.START + 11 * world.DAY + 4321)
    parts = [{"from": MONTH["from"], "to": middle}, {"from": middle, "to": MONTH["to"]}]

    def seconds(query):
        return sum(row["gpu_seconds"] for row in made["/usage"](query)["rows"])

    def jobs(query):
        return sum(sum(row["jobs"].values()) for row in made["/usage"](query)["rows"])

    assert sum(map(seconds, parts)) == seconds(MONTH)
    assert sum(map(jobs, parts)) == jobs(MONTH)


def test_they_are_served_as_json(get):
    status, body = get(f"/usage?from={MONTH['from']}&to={MONTH['to']}")
    assert status == 200
    assert json.loads(body)["from"] == "2026-02-01T00:00:00Z"
    assert get("/budgets")[0] == 200
    assert get("/metrics")[0] == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "needed"),
        ("?from=1", "needed"),
        ("?from=a&to=b", "needed"),
        ("?from=5&to=5", "before"),
        ("?from=-5&to=5", "before"),
        ("?from=0&to=99999999999999999999999", "before"),
        ("?from=0&to=1000000000", "days at a time"),
    ],
)
def test_a_wrong_period_is_the_askers_mistake(get, query, words):
    status, body = get(f"/usage{query}")
    assert status == 400
    assert words in body.decode()


def test_a_document_that_cannot_be_made_is_an_error_without_details(made):
    def broken(_query):
        raise RuntimeError("secret place")

    server = Server(("127.0.0.1", 0), Pages(list, documents={"/usage": broken}))
    server.start()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/usage", timeout=30)
    assert caught.value.code == 500
    assert b"secret" not in caught.value.read()
    server.shutdown()
    server.server_close()


def test_amounts_are_rounded_to_a_millionth_only_when_shown(made):
    rows = made["/usage"](MONTH)["rows"]
    booster = [row for row in rows if row["queue"] == "booster"]
    # 288 core-hours a node-hour, 4 GPUs a node: 72 a GPU-hour.
    for row in booster:
        assert row["used"] == pytest.approx(float(Fraction(72 * row["gpu_seconds"], 3600)), abs=1e-6)
