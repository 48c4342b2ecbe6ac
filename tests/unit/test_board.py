"""The board as data and as pages: what is shown, to whom, and what is stale."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from infra.paths import REPOSITORY
from monitoring.board import pages
from monitoring.board.answers import Answers, Series, of_partner
from monitoring.board.asks import ASKS, SOURCES, TRENDS
from monitoring.board.composition import JOBS_SHOWN, board
from monitoring.board.drawing import cells, lines
from monitoring.board.model import Trend, duration
from monitoring.board.words import REASONS
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.alerts import ALERTS
from operators.catalog import FAMILIES
from operators.reasons import PENDING_REASONS
from tests.unit.board_world import NOW, PARTNERS, alert, answers, of_everybody, row
from tests.unit.metric_names import metric_names
from tests.unit.test_rules import KNOWN


def page(of: Answers, tenant: str = "", **options: Any) -> str:
    return pages.board(board(of, "lab", tenant), **options)


def text(html: str) -> str:
    """What a reader reads, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


QUEUE = {"site": "local", "queue": "ugent", "tenant": "ugent"}


def test_a_queue_says_how_long_the_oldest_waits_and_why() -> None:
    told = answers(
        {
            "titles": [row(1, tenant="ugent", title="Ghent University")],
            "jobs": [row(3, **QUEUE, state="pending"), row(1, **QUEUE, state="running")],
            "oldest": [row(3725, **QUEUE)],
            "reasons": [row(1, **QUEUE, reason="NodesFull"), row(2, **QUEUE, reason="QuotaUsedUp")],
            "waits": [row(600, **QUEUE)],
        }
    )
    (queue,) = board(told, "lab").queues
    assert (queue.title, queue.pending, queue.running) == ("Ghent University", 3, 1)
    assert queue.reasons == ((REASONS["QuotaUsedUp"], 2), (REASONS["NodesFull"], 1))
    shown = text(page(told))
    assert "Ghent University local, ugent 3 1 1 h 2 min 2: the queue&#39;s quota is in use" in shown
    assert "10 min" in shown


def test_the_longest_wait_comes_first_and_queues_without_work_are_left_out() -> None:
    rows = {
        "jobs": [
            row(count, site="local", queue=name, tenant=name, state="pending")
            for name, count in (("a", 1), ("b", 1), ("c", 0))
        ],
        "oldest": [
            row(seconds, site="local", queue=name, tenant=name)
            for name, seconds in (("a", 5), ("b", 50), ("c", 0))
        ],
    }
    assert [queue.name for queue in board(answers(rows), "lab").queues] == ["b", "a"]


@pytest.mark.parametrize(
    ("age", "state"), [(299.0, "good"), (301.0, "bad")], ids=["within its limit", "past its limit"]
)
def test_a_remote_site_is_silent_past_its_limit(age: float, state: str) -> None:
    rows = {
        "silent": [row(age, site="lumi", source="queue"), row(3, site="lumi", source="nodes")],
        "limits": [row(300, site="lumi", source="queue"), row(300, site="lumi", source="nodes")],
        "up": [row(0, link="lumi"), row(1, link="spare")],
    }
    made = board(answers(rows), "lab")
    site = made.sites[1]
    assert (site.name, site.state) == ("lumi", state)
    assert ("silent: queue for 5 min 1 s" in site.says) == (state == "bad")
    # The tunnel and the site behind it are two facts.
    assert site.link
    assert site.link.state == "bad"
    assert [link.name for link in made.led_nowhere] == ["spare"]


@pytest.mark.parametrize(
    ("nodes", "ready", "closed", "state"),
    [(3, 3, 0, "good"), (3, 2, 0, "bad"), (3, 3, 1, "warning"), (0, 0, 0, "unknown")],
)
def test_the_local_site_is_its_nodes(nodes: int, ready: int, closed: int, state: str) -> None:
    rows = {
        name: [row(value, site="local")]
        for name, value in (("nodes", nodes), ("ready", ready), ("closed", closed))
    }
    assert board(answers(rows), "lab").sites[0].state == state


def test_a_source_that_is_silent_is_stale_wherever_it_is_shown() -> None:
    heard = {name: NOW.timestamp() - 5 for name in SOURCES}
    fresh = page(answers({}, heard=heard))
    assert 'class="stale"' not in fresh
    assert "Stale" not in text(fresh)
    stale = page(answers({}, heard={**heard, "operator": NOW.timestamp() - 720}))
    sections = dict(re.findall(r'<section id="(\w+)"([^>]*)>', stale))
    assert {name for name, rest in sections.items() if "stale" in rest} == {
        "sites",
        "queues",
        "gpus",
        "budgets",
    }
    assert "Stale : 12 min old, shown as it was then" in text(stale)
    never = page(answers({}, heard={}))
    assert text(never).count("nothing was told for a day") == 6
    assert text(never).count("Not known.") == 3
    assert not re.search(r"No job|no job|No partner|0 that nodes|0 W", text(never))


def test_a_budget_says_the_day_it_ends() -> None:
    of = {"site": "lumi", "tenant": "ugent", "unit": "gpu-hours"}
    end = NOW + timedelta(days=3)
    rows = {
        "allocated": [
            row(100, **of),
            row(100, **{**of, "tenant": "vub"}),
            row(10, **{**of, "tenant": "ulb"}),
        ],
        "used": [row(60, **of)],
        "remaining": [row(40, **of), row(0, **{**of, "tenant": "vub"}), row(10, **{**of, "tenant": "ulb"})],
        "exhaustion": [row(end.timestamp(), **of)],
    }
    budgets = board(answers(rows), "lab").budgets
    assert [(one.tenant, one.state) for one in budgets] == [
        ("ugent", "warning"),
        ("vub", "bad"),
        ("ulb", "good"),
    ]
    shown = text(page(answers(rows)))
    assert "4 December 2026" in shown
    assert "used up" in shown
    assert "lasts its period" in shown


def test_what_fires_has_its_runbook_since_when_and_why_nobody_is_told() -> None:
    told = answers(
        {}, alerts=[alert(link="lumi"), alert("silenced", "new <fans>", name="AntennaNodeNotReady")]
    )
    shown = page(told)
    assert '<a id="runbook-1" href="runbooks/AntennaLinkDown">' in shown
    assert "1 firing, 1 pending or quiet" in text(shown)
    assert "firing, critical, since 1 Dec 11:56 UTC" in text(shown)
    assert "nobody is told: new &lt;fans&gt;" in shown
    assert "Nothing fires" in text(page(answers({})))


def test_that_nothing_fires_is_said_only_where_the_rules_are_judged() -> None:
    heard = {name: NOW.timestamp() - 5 for name in SOURCES}
    for told in (answers({}, judged=False), answers({}, heard={**heard, "rules": NOW.timestamp() - 600})):
        shown = text(page(told))
        assert "Nothing fires" not in shown
        assert shown.startswith("? firing")
        assert "Not known: nobody judges the rules now, something may fire" in shown
    assert "1 firing: nobody judges the rules now, more may fire" in text(
        page(answers({}, alerts=[alert()], judged=False))
    )


def test_texts_of_others_are_no_markup() -> None:
    evil = '<script>"x"</script>'
    rows = {
        "titles": [row(1, tenant="ugent", title=evil)],
        "jobs": [row(1, site=evil, queue=evil, tenant="ugent", state="pending")],
        "reasons": [row(1, site=evil, queue=evil, tenant="ugent", reason=evil)],
        "silent": [row(1, site=evil, source=evil)],
        "up": [row(1, link=evil)],
    }
    told = answers(rows, alerts=[alert(summary=evil, name=evil)], unknown=[evil])
    for shown in (page(told), page(of_partner(told, "ugent"), "ugent")):
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown


def test_no_byte_of_a_partner_is_in_the_page_of_another() -> None:
    everybody = of_everybody()
    whole = page(everybody)
    shown = {name: page(of_partner(everybody, name), name) for name in PARTNERS}
    pairs = list(permutations(PARTNERS, 2))
    assert len(pairs) == 506
    for one, other in pairs:
        assert one in shown[one]
        assert other in whole
        assert other not in shown[one]
    # Nor an amount of it: their own are in the page, and sums of several are in none.
    numbers = {name: set(re.findall(r"\d[\d,]{6,}", text(html))) for name, html in shown.items()}
    assert all(len(found) >= 5 for found in numbers.values())
    for one, other in pairs:
        assert not numbers[one] & numbers[other]
    for amount in ("987654 held", "876,543 W", "7,654,321"):
        assert not any(amount in text(html) for html in shown.values())
        assert amount in text(whole)
    assert "876,543" in text(whole)


def test_a_partner_sees_every_table_of_its_own() -> None:
    """What the test above looks for in vain would else be looked for in nothing."""
    name = PARTNERS[0]
    mine = of_partner(of_everybody(), name)
    assert {table for table, rows in mine.rows.items() if rows} == set(mine.rows) - {
        "held",
        "site_watts",
        "nodes",
        "ready",
        "closed",
        "round_trip",
    }
    assert [trend for trend in TRENDS if not mine.trends[trend]] == ["fired"]
    shown = page(mine, name)
    for word in ("title", "queue", "reason-of", "outcome", "job", "summary", "site", "unit"):
        assert f"{word}-{name}" in shown
    assert f"reason-{name}" not in shown.replace(f"reason-of-{name}", "")


def test_jobs_that_wait_come_first_and_not_all_are_shown() -> None:
    rows = [
        row(1, site="local", namespace="tenant-ugent", job_name=f"job-{number}", state=state)
        for number, state in enumerate(["succeeded", "running", "pending"] * JOBS_SHOWN)
    ]
    made = board(of_partner(answers({"job_state": rows}), "ugent"), "lab", "ugent")
    assert {job.state for job in made.jobs} == {"pending"}
    assert made.jobs_left_out == 2 * JOBS_SHOWN


def test_a_trend_is_broken_where_something_is_missing() -> None:
    trend = Trend("", "", ((0.0, 1.0), (0.02, 2.0), (0.5, 4.0)), "operator")
    first, second = lines(trend)
    assert first.count("L") == 1
    assert second.endswith("h0")
    assert lines(Trend("", "", ((0.0, 0.0),), "operator")) == ("M3.0 45.0h0",)


def test_a_links_last_day_says_in_how_many_half_hours_it_was_down() -> None:
    begin = NOW.timestamp() - 86_400
    told = [Series({"link": "lumi"}, ((begin + 1800, 1.0), (begin + 3600, 0.0), (begin + 5400, 1.0)))]
    made = answers({"up": [row(1, link="lumi")]}, trends={"up": told})
    assert "Link lumi: down in 1 of 3 half hours" in text(page(made))
    assert [(x, state) for x, _, state in cells(board(made, "lab").links[0])] == [
        (0.0, "good"),
        (5.0, "bad"),
        (10.0, "good"),
    ]


def test_trends_are_of_all_that_one_sees_together() -> None:
    moment = NOW.timestamp() - 43_200
    told = answers({}, trends={"waiting": [Series({"tenant": name}, ((moment, 2.0),)) for name in "ab"]})
    assert board(told, "lab").trends[0].points == ((0.5, 4.0),)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (90, "1 min 30 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (86_405, "1 d")],
)
def test_durations_are_of_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


class Outline(HTMLParser):
    """What a screen reader goes by."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.named: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [found["id"] or ""] if "id" in found else []
        self.named += (found.get("aria-labelledby") or "").split()


@pytest.mark.parametrize("tenant", ["", PARTNERS[3]])
def test_a_page_has_an_outline_names_and_nothing_of_another_host(tenant: str) -> None:
    told = of_everybody()
    html = page(of_partner(told, tenant) if tenant else told, tenant)
    outline = Outline(html)
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.named) <= set(outline.ids)
    headings = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert set(headings[1:]) == {2}
    assert not any("style" in attributes for _, attributes in outline.tags)
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")
    places = [
        attributes[name] or ""
        for _, attributes in outline.tags
        for name in ("href", "src")
        if name in attributes
    ]
    # Relative, so that the board may be served below any path.
    assert all(re.match(r"(#|\?|data:,$|board\.|runbooks/)", place) for place in places), places
    assert ("html", {"lang": "en"}) in outline.tags


def test_it_refreshes_itself_with_script_and_without_until_it_is_told_not_to() -> None:
    html = page(answers({}))
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in html
    assert "board.js" in html
    halted = page(answers({}), refresh=False)
    assert "http-equiv" not in halted
    assert "board.js" not in halted


def test_every_question_is_about_what_somebody_exposes() -> None:
    expressions = [ask.expression for ask in (*ASKS.values(), *TRENDS.values())]
    for expression in (*expressions, *(source.heard for source in SOURCES.values())):
        assert metric_names(expression) <= KNOWN
        assert metric_names(expression)
    assert {family.name for family in FAMILIES} & set().union(*map(metric_names, expressions))


def test_a_table_that_is_shared_asks_for_nothing_by_partner() -> None:
    for name, ask in [*ASKS.items(), *TRENDS.items()]:
        by = re.search(r"by \(([^)]*)\)", ask.expression)
        labels = by[1] if by else ""
        assert not (ask.shared and "tenant" in labels), name


def test_every_reason_has_words() -> None:
    assert set(REASONS) == {str(reason) for reason in PENDING_REASONS}


def test_a_runbook_is_a_page_without_markup_of_its_own() -> None:
    html = pages.runbook(
        "X", "# X\n\n<b>no</b>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\nls <node>\n```\n"
    )
    assert "<h1>X</h1>" in html
    assert "&lt;b&gt;no&lt;/b&gt;" in html
    assert "<table>" in html
    assert "ls &lt;node&gt;" in html


@pytest.mark.parametrize("path", sorted((REPOSITORY / RUNBOOKS).glob("*.md")), ids=lambda path: path.stem)
def test_a_runbooks_links_lead_to_pages_that_are_served(path: Path) -> None:
    html = pages.runbook(path.stem, path.read_text())
    assert html.count("<h1>") == 1
    places = set(re.findall(r'href="([^"]+)"', html)) - {"../", "#main", "../board.css", "data:,"}
    assert places <= {page.name for page in path.parent.glob("*.md")}


def test_links_to_runbooks_are_the_alerts_names() -> None:
    told = answers({}, alerts=[replace(alert(), name=one.name) for one in ALERTS])
    assert {f"runbooks/{one.name}" for one in ALERTS} <= set(re.findall(r'href="([^"]+)"', page(told)))


STYLE = pages.asset("board.css")
TEXTS = ("ink", "faint", "accent", "good", "warning", "bad", "unknown")


def _palettes() -> list[dict[str, str]]:
    """The colours of light and of dark."""
    return [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{([^}]*)\}", STYLE)]


def _luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    digits = "".join(2 * digit for digit in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
def test_texts_stand_out_from_what_they_are_written_on(palette: dict[str, str]) -> None:
    grounds = [(text, ground) for text in TEXTS for ground in ("paper", "ground")]
    for one, ground in [*grounds, ("ink", "old")]:
        dark, light = sorted((_luminance(palette[one]), _luminance(palette[ground])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (one, ground)


def test_the_styles_name_no_other_host() -> None:
    for name in ("board.css", "board.js"):
        assert "//" not in re.sub(r"^ *//.*$", "", pages.asset(name), flags=re.MULTILINE)
        assert "url(" not in pages.asset(name)
