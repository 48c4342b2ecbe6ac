"""The engine's pure parts: values, paths, URNs, configuration, order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from infra.engine import config, graph, property_path, urn
from infra.engine.errors import PassphraseError, ProjectError, StateError
from infra.engine.passphrase import Cipher
from infra.engine.properties import (
    UNKNOWN,
    changed_keys,
    equal,
    mark_secrets,
    mask,
    reveal,
    secret,
)
from infra.engine.state import Resource, Snapshot, dump, load
from infra.engine.wire import from_struct, to_struct


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('a["b.c"][*]', ("a", "b.c", "*")),
        ("[0]", (0,)),
        ("a.*", ("a", "*")),
    ],
)
def test_a_property_path_is_parsed(text: str, path: property_path.Path) -> None:
    assert property_path.parse(text) == path


def test_a_malformed_property_path_is_refused() -> None:
    with pytest.raises(ValueError, match="not a property path"):
        property_path.parse("a[b")


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        (["a"], {"a": 1, "n": {"k": 9, "l": 9}, "list": [{"v": 9}, {"v": 9}]}),
        (["n.k"], {"a": 9, "n": {"k": 1, "l": 9}, "list": [{"v": 9}, {"v": 9}]}),
        (["list[1].v"], {"a": 9, "n": {"k": 9, "l": 9}, "list": [{"v": 9}, {"v": 2}]}),
        (["list[*].v", "n.*"], {"a": 9, "n": {"k": 1, "l": 1}, "list": [{"v": 1}, {"v": 2}]}),
        (["gone"], {"a": 9, "n": {"k": 9, "l": 9}, "list": [{"v": 9}, {"v": 9}], "gone": 1}),
    ],
)
def test_ignored_changes_are_taken_back(ignored: list[str], expected: dict[str, Any]) -> None:
    old = {"a": 1, "n": {"k": 1, "l": 1}, "list": [{"v": 1}, {"v": 2}], "gone": 1}
    new = {"a": 9, "n": {"k": 9, "l": 9}, "list": [{"v": 9}, {"v": 9}]}
    assert property_path.ignore_changes(new, old, ignored) == expected


def test_values_survive_the_protocol() -> None:
    values = {"n": None, "b": True, "i": 3, "f": 2.5, "s": "x", "l": [1, {"k": secret("y")}], "u": UNKNOWN}
    assert equal(from_struct(to_struct(values)), values)


def test_true_is_not_one() -> None:
    assert not equal({"a": [True]}, {"a": [1]})
    assert equal({"a": [1.0]}, {"a": [1]})


def test_people_see_neither_secrets_nor_sentinels() -> None:
    value = {"a": secret({"deep": 1}), "b": [UNKNOWN], "c": "open"}
    assert mask(value) == {"a": "[secret]", "b": ["[unknown]"], "c": "open"}
    assert reveal(value) == {"a": {"deep": 1}, "b": [UNKNOWN], "c": "open"}


def test_an_output_is_secret_when_its_input_is_or_the_program_says_so() -> None:
    marked = mark_secrets({"a": 1, "b": 2, "c": 3}, {"a": secret(1), "b": 2}, ["c", "absent"])
    assert marked == {"a": secret(1), "b": 2, "c": secret(3)}


def test_changed_keys_look_through_secrets() -> None:
    assert changed_keys({"a": secret(1), "b": 1, "c": 1}, {"a": 1, "b": 2, "d": 1}) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("urn:pulumi:dev::toys::toy:index:Thing::a", True),
        ("**::a", True),
        ("**toy:index:*::*", True),
        ("**Thing**", True),
        ("*::a", False),
        ("**::b", False),
    ],
)
def test_targets_match_urns(pattern: str, hit: bool) -> None:
    assert urn.matches("urn:pulumi:dev::toys::toy:index:Thing::a", pattern) is hit


def test_a_urn_carries_the_types_of_its_parents() -> None:
    stack = urn.make("dev", "toys", "", urn.STACK_TYPE, "toys-dev")
    box = urn.make("dev", "toys", stack, "toy:index:Box", "box")
    thing = urn.make("dev", "toys", box, "toy:index:Thing", "a::b")
    assert thing == "urn:pulumi:dev::toys::toy:index:Box$toy:index:Thing::a::b"
    assert (urn.type_of(thing), urn.name_of(thing)) == ("toy:index:Thing", "a::b")


def project(folder: Path, text: str = "") -> config.Project:
    (folder / "Pulumi.yaml").write_text(f"name: toys\nruntime: python\n{text}")
    return config.load_project(folder)


def test_configuration_is_text_and_json_as_the_official_cli_makes_it(tmp_path: Path) -> None:
    cipher = Cipher("", {"PULUMI_CONFIG_PASSPHRASE": "p"})
    found = config.values(
        project(tmp_path, "config: {site:size: {default: 3}, site:name: {default: x}}"),
        {
            "config": {
                "plain": 1,
                "site:name": "y",
                "site:on": True,
                "site:nothing": None,
                "site:config:old": "z",
                "site:tree": {"b": [1, {"c": 2.5}], "a": None},
                "site:whole": {"secure": cipher.encrypt("hush")},
                "site:part": {"k": [{"secure": cipher.encrypt("psst")}]},
            }
        },
        cipher,
    )
    assert {key: (value.text, value.secret) for key, value in found.items()} == {
        "site:size": ("3", False),
        "site:name": ("y", False),
        "toys:plain": ("1", False),
        "site:on": ("true", False),
        "site:nothing": ("", False),
        "site:old": ("z", False),
        "site:tree": ('{"a":null,"b":[1,{"c":2.5}]}', False),
        "site:whole": ("hush", True),
        "site:part": ('{"k":["psst"]}', True),
    }


def test_another_runtime_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: toys\nruntime: go\n")
    with pytest.raises(ProjectError, match="runtime must be python"):
        config.load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("options: {refresh: always}", "options"),
        ("stackConfigDir: cfg", "stackConfigDir"),
        ("packages: {random: 4}", "packages"),
        ("plugins: {languages: [{name: python, path: x}]}", "plugins.languages"),
        ("backend: {url: 'file://~', other: 1}", "backend.other"),
    ],
)
def test_a_setting_of_the_project_that_only_the_official_engine_has_is_refused_by_name(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(ProjectError, match=rf"Pulumi.yaml: {re.escape(named)} is a setting"):
        project(tmp_path, text)


def test_an_option_of_the_runtime_that_nobody_heeds_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: t\nruntime: {name: python, options: {toolchain: uv}}")
    with pytest.raises(ProjectError, match=r"runtime\.options\.toolchain is a setting"):
        config.load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("environment: [shared/prod]", "environment is a setting"),
        ("encryptedkey: x", "encryptedkey is a setting"),
        ("secretsprovider: awskms://key", "secretsprovider 'awskms://key' is one"),
    ],
)
def test_a_setting_of_the_stack_that_only_the_official_engine_has_is_refused_by_name(
    tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "Pulumi.s.yaml").write_text(text)
    with pytest.raises(ProjectError, match=re.escape(named)):
        config.load_stack(project(tmp_path), "s")


def test_a_wrong_passphrase_is_told() -> None:
    salt = Cipher("", {"PULUMI_CONFIG_PASSPHRASE": "right"}).provider_state()["state"]["salt"]
    with pytest.raises(PassphraseError, match="is not the one"):
        Cipher(salt, {"PULUMI_CONFIG_PASSPHRASE": "wrong"}).encrypt("x")
    with pytest.raises(PassphraseError, match="PULUMI_CONFIG_PASSPHRASE_FILE"):
        Cipher(salt, {}).encrypt("x")


def thing(name: str, **fields: Any) -> Resource:
    return Resource(
        f"urn:pulumi:dev::toys::toy:index:Thing::{name}", "toy:index:Thing", custom=True, **fields
    )


def test_a_state_keeps_its_secrets_encrypted_and_unchanged() -> None:
    environ = {"PULUMI_CONFIG_PASSPHRASE": "p"}
    cipher = Cipher("", environ)
    snapshot = Snapshot((thing("a", inputs={"s": secret(["x", 1])}),), (), cipher.provider_state())
    content = dump("organization/toys/dev", snapshot, cipher)
    assert b'"x"' not in content
    again = Cipher(cipher.provider_state()["state"]["salt"], environ)
    loaded = load(content, again)
    assert loaded.resources[0].inputs == {"s": secret(["x", 1])}
    written = dump("organization/toys/dev", loaded, again)
    assert written.split(b'"resources"')[1] == content.split(b'"resources"')[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no JSON"),
        (b'{"version": 2, "checkpoint": {}}', "version 2"),
        (b'{"version": 4, "features": ["hooks"], "checkpoint": {}}', "hooks"),
    ],
)
def test_a_state_that_needs_more_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(StateError, match=message):
        load(content, Cipher("", {}))


def test_what_stands_on_something_is_deleted_first() -> None:
    a, b, c, d = thing("a"), thing("b"), thing("c"), thing("d")
    b.dependencies = [a.urn]
    c.property_dependencies = {"x": [b.urn]}
    d.parent = a.urn
    waves = graph.deletion_waves([a, b, c, d], [a, b, c, d])
    assert [{r.name for r in wave} for wave in waves] == [{"c", "d"}, {"b"}, {"a"}]


def test_a_state_is_put_in_order() -> None:
    a, b, c = thing("a"), thing("b"), thing("c")
    a.dependencies = [c.urn]
    assert [r.name for r in graph.in_order([a, b, c])] == ["c", "a", "b"]
