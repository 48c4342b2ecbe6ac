"""The definitions that the API server is given: generated, structural, described, bounded."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from operators.api import crd, generated

DEFINITIONS = {definition["spec"]["names"]["kind"]: definition for definition in crd.definitions()}
# What every condition has, and what the parent's description says already.
BARE = {"status", "observedGeneration", "type", "gpus"}


@pytest.fixture(params=DEFINITIONS)
def definition(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DEFINITIONS[request.param]


@pytest.fixture
def schema(definition: dict[str, Any]) -> dict[str, Any]:
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def walk(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)]
    for name, inner in schema.get("properties", {}).items():
        found += walk(inner, f"{path}.{name}")
    for inside in ("items", "additionalProperties"):
        if inside in schema:
            found += walk(schema[inside], f"{path}[]")
    return found


def test_the_files_are_what_the_models_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_what_is_read_is_what_the_models_say() -> None:
    assert generated.definitions() == crd.definitions()


def test_an_edited_file_fails_the_check_and_is_written_anew(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crd, "FOLDER", tmp_path)
    assert crd.main(["--check"]) == 1
    assert "tenants.antenna.be.yaml" in capsys.readouterr().out
    assert crd.main([]) == 0
    assert crd.main(["--check"]) == 0
    path = tmp_path / "tenants.antenna.be.yaml"
    path.write_text(path.read_text().replace("maxItems: 16", "maxItems: 17"))
    assert crd.main(["--check"]) == 1


def test_a_file_says_that_it_is_generated(definition: dict[str, Any]) -> None:
    text = crd.path_of(definition).read_text()
    assert text.startswith("# Generated from operators/api")
    assert yaml.safe_load(text) == definition


def test_the_schema_is_structural(schema: dict[str, Any]) -> None:
    for path, part in walk(schema):
        assert "type" in part or part.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title"} & part.keys() - {"properties"}, path


def test_every_field_is_described(schema: dict[str, Any]) -> None:
    fields = [(path, part) for path, part in walk(schema) if not path.endswith("[]")]
    bare = {path for path, part in fields if "description" not in part}
    assert {path.rpartition(".")[2] for path in bare} <= BARE, bare


def test_every_list_and_string_is_bounded(schema: dict[str, Any]) -> None:
    for path, part in walk(schema):
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if part.get("type") == "string":
            assert {"maxLength", "enum", "format"} & part.keys() or path.endswith("resources[]"), path


def test_the_columns_tell_how_it_stands(definition: dict[str, Any]) -> None:
    (version,) = definition["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"]:
        assert column["jsonPath"].startswith((".spec.", ".status.", ".metadata."))
