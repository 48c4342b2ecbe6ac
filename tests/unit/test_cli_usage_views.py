"""`antenna budget` and `antenna report`: what they show, write and refuse."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.cli.views import report_files
from infra.cli.views.report_figures import Partner, figures
from tests.unit import usage_world as world

PARTNERS = {name: Partner(name.title(), p.ecosystem, p.sector) for name, p in world.PAYERS.items()}
SHARES = {"eurohpc": 0.5, "national": 0.5}
FEBRUARY = ("--from", "2026-02-01", "--to", "2026-02-28")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    found, ledgers = world.make(tmp_path_factory.mktemp("usage") / "ledger.sqlite")
    yield found
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def antenna(made, monkeypatch, tmp_path):
    """Runs a command whose operator tells of the world."""

    def fetch(_stack, path, **query):
        return made[path]({name: str(value) for name, value in query.items()})

    for verb in ("budget", "report"):
        monkeypatch.setattr(f"infra.cli.verbs.{verb}.fetch", fetch)
    monkeypatch.setattr("infra.cli.verbs.report.local_kwh", lambda *_: {"ulb": 120.0})
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANTENNA_STACK", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, list(words))


@pytest.fixture(scope="module")
def told(made):
    usage = made["/usage"]({"from": str(world.START), "to": str(world.START + 28 * world.DAY)})
    return figures(usage, made["/budgets"]({})["budgets"], {"ulb": 120.0}, shares=SHARES, partners=PARTNERS)


def test_the_table_has_a_row_an_allocation_and_local_work_beside_it(antenna):
    shown = antenna("budget")
    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert lines[0] == ("TENANT SITE ALLOCATED USED RESERVED REMAINING BURN/DAY UNIT EXHAUSTED SITE SAYS")
    assert any(
        re.match(r"imec jupiter 1,000,000 [\d,.]+ · [\d,.]+ [\d,.]+ core-hours ", line) for line in lines
    )
    assert any(re.match(r"ugent lumi 4,000 [\d,.]+ 368 ", line) for line in lines)
    assert any(re.match(r"(ulb )?local · [\d,.]+ · · [\d,.]+ gpu-hours · ·", line) for line in lines)
    assert max(map(len, shown.output.splitlines())) <= 120


def test_one_partners_budget_can_be_asked_for_and_a_typing_error_is_told(antenna):
    shown = antenna("budget", "--tenant", "ugent")
    assert "ugent" in shown.output and "imec" not in shown.output
    wrong = antenna("budget", "--tenant", "ugnet")
    assert wrong.exit_code == 2
    assert "did you mean ugent" in wrong.output


def test_the_budget_as_json_is_the_operators_document(antenna, made):
    shown = antenna("budget", "--json")
    document = json.loads(shown.stdout)
    assert document["stack"] == "embedded"
    theirs = made["/budgets"]({})["budgets"]
    assert sorted(document["budgets"], key=str) == sorted(theirs, key=str)


def test_where_there_is_nothing_it_says_so(antenna, monkeypatch):
    monkeypatch.setattr("infra.cli.verbs.budget.fetch", lambda *_: {"as_of": "", "budgets": []})
    assert "no allocation is in force" in antenna("budget").output


def test_a_report_is_four_files_that_agree(antenna, tmp_path):
    shown = antenna("report", *FEBRUARY, "--output", "out")
    assert shown.exit_code == 0, shown.output
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "budgets.csv",
        "report.html",
        "report.json",
        "usage.csv",
    ]
    document = json.loads((folder / "report.json").read_text())
    with (folder / "usage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    hours = sum(int(row["gpu_seconds"]) for row in rows) / 3600
    assert hours == pytest.approx(document["total"]["gpu_hours"])
    for by in ("sites", "tenants", "ecosystems", "sectors", "funders"):
        assert sum(line["gpu_hours"] for line in document[by]) == pytest.approx(hours), by
        assert sum(line["kwh"] for line in document[by]) == pytest.approx(document["total"]["kwh"]), by
    assert sum(sum(days.values()) for days in document["days"].values()) == pytest.approx(hours)
    assert all(len(days) == 28 for days in document["days"].values())


def test_a_report_is_written_by_default_into_a_folder_named_after_its_days(antenna, tmp_path):
    assert antenna("report", *FEBRUARY).exit_code == 0
    assert (tmp_path / "antenna-report-2026-02-01-2026-02-28" / "report.html").is_file()
    today = datetime.now(UTC).date()
    assert antenna("report").exit_code == 0
    assert (tmp_path / f"antenna-report-{today.replace(day=1)}-{today}").is_dir()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "2026-02-01", "--to", "2026-01-31"), "before"),
        (("--from", "february"), "does not match"),
        (("--to", "2026-02-30"), "does not match"),
    ],
)
def test_a_wrong_period_exits_with_2_and_writes_nothing(antenna, tmp_path, words, told):
    shown = antenna("report", *words)
    assert shown.exit_code == 2
    assert told in shown.output
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


def test_a_folder_that_cannot_be_written_is_one_message(antenna, tmp_path):
    (tmp_path / "file").write_text("")
    shown = antenna("report", *FEBRUARY, "--output", str(tmp_path / "file" / "below"))
    assert shown.exit_code == 1
    assert "error:" in shown.output and "Traceback" not in shown.output


def test_costs_are_split_by_funder_as_the_site_says(told):
    split = figures(
        {"rows": told.rows, "from": "2026-02-01", "to": "2026-03-01", "as_of": told.as_of},
        [],
        None,
        shares={"eurohpc": 0.7, "national": 0.3},
        partners=PARTNERS,
    )
    assert not split.local_energy
    whole = split.total.units["jupiter core-hours"]
    assert [round(f.units["jupiter core-hours"] / whole, 6) for f in split.funders] == [0.7, 0.3]


def test_measured_energy_of_local_work_is_added_to_its_partner(told):
    kwh = {line.name: line.kwh for line in told.tenants}
    assert kwh["ulb"] == 120
    assert {line.name: line.kwh for line in told.sites}["local"] == 120
    assert kwh["ugent"] > 0


def test_a_site_whose_energy_nobody_published_is_named_and_not_counted_as_zero(told):
    assert told.without_energy == ["jupiter"]
    assert "kWh of GPUs, without jupiter" in report_files.page("embedded", told)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.links = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [
            value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")
        ]


def test_the_page_stands_alone_without_network_or_script(told):
    text = report_files.page("embedded", told)
    page = _Page()
    page.feed(text)
    assert page.tags.count("svg") == 2
    assert "script" not in page.tags
    assert page.links == []
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_names_cannot_become_markup(told, made):
    hostile = "<script>alert(1)</script>"
    rows = [{**row, "tenant": hostile, "ecosystem": hostile} for row in told.rows[:3]]
    usage = {"rows": rows, "from": "2026-02-01", "to": "2026-03-01", "as_of": told.as_of}
    whose = {hostile: Partner(hostile, hostile, hostile)}
    text = report_files.page("embedded", figures(usage, [], {}, shares=SHARES, partners=whose))
    assert "<script" not in text
    assert "&lt;script" in text


def test_a_period_without_work_has_a_page_too():
    usage = {"rows": [], "from": "2026-02-01", "to": "2026-03-01", "as_of": "2026-03-01T00:00:00Z"}
    told = figures(usage, [], {}, shares=SHARES, partners={})
    assert "Nothing was used in this period" in report_files.page("embedded", told)


def test_long_periods_are_drawn_by_the_month(told):
    usage = {"rows": told.rows, "from": "2026-01-01", "to": "2027-01-01", "as_of": told.as_of}
    year = figures(usage, [], {}, shares=SHARES, partners=PARTNERS)
    text = report_files.page("embedded", year)
    assert "GPU-hours a month, by site" in text
    assert "Feb 2026" in text


@pytest.mark.parametrize("verb", ["budget", "report"])
def test_a_site_that_is_not_up_is_one_message(verb, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ANTENNA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(main, [verb])
    assert shown.exit_code == 1
    assert "cannot be reached" in shown.output
    assert "Traceback" not in shown.output
