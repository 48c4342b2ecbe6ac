"""Every wrong site is refused with one line that names file, key and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.site import SiteError, parse_site
from infra.sitefile import load
from tests.unit.site_examples import DROP, EMBEDDED, EXISTING, ONCALL, REMOTE, edited

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("site_refusals.yaml").read_text())
FILE = "Pulumi.x.yaml"
BASES = {"embedded": EMBEDDED, "existing": EXISTING, "remote": REMOTE, "oncall": ONCALL}


def wrong(row: dict[str, Any]) -> dict[str, Any]:
    return edited(
        BASES[row.get("site", "embedded")],
        *row.get("edit", {}).items(),
        *((path, DROP) for path in row.get("drop", ())),
    )


def write(path: Path, site: dict[str, Any]) -> Path:
    config = {f"site:{key}": value for key, value in site.items()}
    path.write_text(yaml.safe_dump({"config": {"other:key": "not ours", **config}}, sort_keys=False))
    return path


@pytest.mark.parametrize("site", BASES.values(), ids=list(BASES))
def test_the_sites_that_are_edited_are_right(site: dict[str, Any], tmp_path: Path) -> None:
    assert parse_site(site, source=FILE) == load(write(tmp_path / FILE, site))


@pytest.mark.parametrize("row", ROWS, ids=[row["wrong"] for row in ROWS])
def test_a_wrong_site_is_refused_with_one_line(row: dict[str, Any]) -> None:
    with pytest.raises(SiteError) as refused:
        parse_site(wrong(row), source=FILE)
    assert str(refused.value) == f"{FILE}: {row['says']}"


@pytest.mark.parametrize("row", ROWS, ids=[row["wrong"] for row in ROWS])
def test_a_wrong_file_is_refused_with_the_same_line(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SiteError) as refused:
        load(write(tmp_path / FILE, wrong(row)))
    assert str(refused.value) == f"{FILE}: {row['says']}"


def test_all_independent_mistakes_are_told_at_once() -> None:
    site = edited(
        EMBEDDED,
        ("machines[2].address", "10.99.0.5"),
        ("tenants[1].groups", ["imec"]),
        ("funding", {"eurohpc": 60, "national": 50}),
    )
    with pytest.raises(SiteError) as refused:
        parse_site(site, source=FILE)
    assert [problem.key for problem in refused.value.problems] == [
        "machines[2].address",
        "tenants[1].groups[0]",
        "funding",
    ]


@pytest.mark.parametrize(
    ("stack", "fixed"),
    [("a-name-too-long", "a-name-too-l"), ("2nd", "nd"), ("Test", "test"), ("my_site", "my-site")],
)
def test_a_stack_name_that_no_interface_could_bear_is_refused(stack: str, fixed: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"Pulumi.{stack}.yaml", EMBEDDED)
    with pytest.raises(SiteError) as refused:
        load(path)
    assert str(refused.value) == (
        f"Pulumi.{stack}.yaml: the stack name {stack!r} becomes part of interface names and must be 1 to 12 "
        f"characters of a-z, 0-9 and '-', a letter first; rename the file to Pulumi.{fixed}.yaml"
    )


def test_what_a_user_wrote_is_never_a_template() -> None:
    with pytest.raises(SiteError) as refused:
        parse_site(edited(EMBEDDED, ("tenants[0].ecosystem", "{message}{0}")), source=FILE)
    assert "'{message}{0}' is not an ecosystem" in str(refused.value)


def test_a_private_key_is_not_repeated() -> None:
    pasted = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
    with pytest.raises(SiteError) as refused:
        parse_site(edited(EXISTING, ("machines[0].host_key", pasted)), source=FILE)
    assert "b3Blbn" not in str(refused.value)


BAD_FILES = {
    "a tab": ("config:\n\tsite:platform: embedded\n", "line 2: ", "indent with spaces"),
    "a bracket left open": (
        "config:\n  site:machines: [1, 2\n  site:x: 3\n",
        "line 3: ",
        "close the bracket",
    ),
    "a quote left open": ('config:\n  site:platform: "embedded\n', "line ", "close the quote"),
    "a colon inside a value": ("config:\n  site:platform: a: b\n", "line 2: ", "quote a value"),
    "an indent that fits nothing": ("config:\n  site:a: 1\n site:b: 2\n", "line 3: ", "indent the line"),
    "a key twice": (
        "config:\n  site:platform: embedded\n  site:network: {}\n  site:platform: ssh\n",
        "line 4: the key site:platform is there twice, first in line 2; remove one",
        "(at `site:platform: ssh`)",
    ),
    "a key twice deep down": (
        "config:\n  site:machines:\n    - name: a\n      name: b\n",
        "line 4: the key name is there twice, first in line 3",
        "remove one",
    ),
    "a Python object": ("config: !!python/object/apply:os.getcwd []\n", "line 1: ", "tag"),
    "nothing": ("", "has no `config:` mapping", "copy one from"),
    "a list": ("- site\n", "has no `config:` mapping", "copy one from"),
    "no config": ("site:platform: embedded\n", "has no `config:` mapping", "copy one from"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_not_a_stack_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, says, fix = BAD_FILES[name]
    (tmp_path / FILE).write_text(text)
    with pytest.raises(SiteError) as refused:
        load(tmp_path / FILE)
    message = str(refused.value)
    assert message.startswith(f"{FILE}: {says}")
    assert fix in message
    assert "\n" not in message


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"config: \xff\xfe")
    with pytest.raises(SiteError, match=r"^Pulumi.x.yaml: byte 8 is not UTF-8; save the file as UTF-8$"):
        load(tmp_path / FILE)


def test_a_file_that_is_not_there_tells_which_are(tmp_path: Path) -> None:
    for stack in ("embedded", "second"):
        write(tmp_path / f"Pulumi.{stack}.yaml", EMBEDDED)
    (tmp_path / "Pulumi.yaml").write_text("name: antenna\n")
    with pytest.raises(SiteError) as refused:
        load(tmp_path / "Pulumi.embeded.yaml")
    assert str(refused.value) == (
        f"Pulumi.embeded.yaml: there is no such file in {tmp_path}; stacks that have one: embedded, second"
    )


def test_what_pulumi_hands_over_as_json_is_the_same_site() -> None:
    through_json = json.loads(json.dumps(EMBEDDED))
    assert parse_site(through_json, source=FILE) == parse_site(EMBEDDED, source=FILE)
