"""The Tenant as a model, and the definition that the API server is given of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.site.values import TENANT_NAME_LENGTH
from operators.api import crd
from operators.api.tenant import Tenant, TenantSpec, TenantStatus, cohort_of, partner_of, tenant_object
from operators.api.values import NAME_LENGTH
from operators.queues import GPU, Cohort, Flavor, tenant_objects
from operators.tenancy import ECOSYSTEMS, SECTORS, Quota
from operators.tenancy import Tenant as Partner

COHORT = Cohort("antenna", (Flavor("h100"), Flavor("a100")))
VIB = Partner(
    name="vib",
    title="VIB",
    ecosystem="flanders",
    sectors=("health-biotech-life-sciences", "science-research"),
    groups=("vib-people",),
    quotas={"h100": {GPU: Quota(4), "cpu": Quota("500m", "2"), "memory": Quota("64Gi")}},
    weight=2,
)


def spec(**others: Any) -> dict[str, Any]:
    return {**tenant_object(VIB, COHORT)["spec"], **others}


def amounts(**resources: Any) -> list[dict[str, Any]]:
    return [{"flavor": "h100", "resources": resources}]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    (definition,) = crd.definitions()
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


def test_a_tenant_gives_the_partner_back_that_it_was_made_of() -> None:
    read = TenantSpec.model_validate(tenant_object(VIB, COHORT)["spec"])
    assert tenant_objects(partner_of("vib", read), cohort_of(read)) == tenant_objects(VIB, COHORT)


def test_a_tenant_lists_every_flavor_of_the_cohort_in_its_order() -> None:
    quotas = tenant_object(VIB, COHORT)["spec"]["quotas"]
    assert quotas == [
        {
            "flavor": "h100",
            "resources": {
                GPU: {"nominal": "4"},
                "cpu": {"nominal": "500m", "borrowingLimit": "2"},
                "memory": {"nominal": "64Gi"},
            },
        },
        {"flavor": "a100", "resources": {}},
    ]


def test_the_same_partner_is_always_the_same_tenant() -> None:
    assert tenant_object(VIB, COHORT) == tenant_object(VIB, COHORT)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ecosystem": "holland"}, "is none of flanders"),
        ({"sectors": ["gambling"]}, "is none of defence-security"),
        ({"sectors": []}, "at least 1 item"),
        ({"title": ""}, "at least 1 character"),
        ({"groups": ["system:masters"]}, "Kubernetes' own group"),
        ({"weight": "-1"}, "must not be negative"),
        ({"weight": "heavy"}, "is not a Kubernetes quantity"),
        ({"cohort": "An Antenna"}, "match pattern"),
        ({"quotas": []}, "at least 1 item"),
        ({"priority": 1}, "Extra inputs"),
        ({"quotas": amounts(cpu={"nominal": "-4"})}, "must not be negative"),
        ({"quotas": amounts(cpu={"nominal": "4", "borrowingLimit": "-4"})}, "must not be negative"),
        ({"quotas": amounts(tpu={"nominal": "4"})}, "is none of cpu, memory"),
        ({"quotas": amounts(**{GPU: {"nominal": "500m"}})}, "GPUs are whole"),
        (
            {"quotas": amounts(**{GPU: {"nominal": 1}, "cpu": {"nominal": "0", "borrowingLimit": "0"}})},
            "GPUs of which no core",
        ),
    ],
)
def test_a_wrong_spec_is_refused_with_its_reason(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TenantSpec.model_validate(spec(**wrong))


def test_amounts_may_be_written_as_numbers() -> None:
    read = TenantSpec.model_validate(spec(quotas=amounts(**{GPU: {"nominal": 4}})))
    assert read.quotas[0].resources[GPU].nominal == "4"


def test_names_and_words_are_those_of_the_site() -> None:
    assert NAME_LENGTH == TENANT_NAME_LENGTH


# The definition


def test_the_file_is_what_the_models_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_an_edited_file_fails_the_check_and_is_written_anew(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crd, "FOLDER", tmp_path)
    assert crd.main(["--check"]) == 1
    assert "tenants.antenna.be.yaml" in capsys.readouterr().out
    assert crd.main([]) == 0
    assert crd.main(["--check"]) == 0
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("maxItems: 16", "maxItems: 17"))
    assert crd.main(["--check"]) == 1


def test_a_file_says_that_it_is_generated() -> None:
    (definition,) = crd.definitions()
    text = crd.path_of(definition).read_text()
    assert text.startswith("# Generated from operators/api")
    assert yaml.safe_load(text) == definition


def test_the_schema_is_structural(schema: dict[str, Any]) -> None:
    for path, part in walk(schema):
        assert "type" in part or part.get("x-kubernetes-int-or-string"), path
        assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title"} & part.keys() - {"properties"}, path


def test_every_field_is_described(schema: dict[str, Any]) -> None:
    bare = [path for path, part in walk(schema) if not path.endswith("[]") and "description" not in part]
    # These two are what every condition has.
    assert set(bare) <= {f".status.conditions[].{name}" for name in ("type", "status")} | {
        ".status.observedGeneration",
        ".status.gpus",
    }


def test_every_list_and_string_is_bounded(schema: dict[str, Any]) -> None:
    for path, part in walk(schema):
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if part.get("type") == "string":
            assert {"maxLength", "enum", "format"} & part.keys() or path.endswith("resources[]"), path


def test_the_words_are_the_antennas(schema: dict[str, Any]) -> None:
    fields = schema["properties"]["spec"]["properties"]
    assert fields["ecosystem"]["enum"] == list(ECOSYSTEMS)
    assert fields["sectors"]["items"]["enum"] == list(SECTORS)


def test_the_columns_tell_how_a_partner_stands() -> None:
    (definition,) = crd.definitions()
    (version,) = definition["spec"]["versions"]
    shown = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert shown == ["Ecosystem", "Quota", "In use", "Pending", "Oldest wait", "Ready", "Age"]
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"]:
        assert column["jsonPath"].startswith((".spec.", ".status.", ".metadata."))


def test_a_status_reads_as_it_is_written() -> None:
    written = {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "reason": "NameTaken",
                "message": "taken",
            }
        ],
        "gpus": {"quota": 4, "used": 2, "borrowed": 0},
        "pending": 1,
        "oldestPendingSince": "2026-01-01T00:00:00Z",
    }
    read = TenantStatus.model_validate(written)
    assert read.model_dump(mode="json", by_alias=True) == written
    assert Tenant.model_validate({"spec": spec(), "status": written}).status == read
