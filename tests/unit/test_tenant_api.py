"""The Tenant as a model, and the definition that the API server is given of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from infra.site.values import TENANT_NAME_LENGTH
from operators.api import crd
from operators.api.tenant import KIND, Tenant, TenantSpec, TenantStatus, cohort_of, partner_of, tenant_object
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


def definition() -> dict[str, Any]:
    return next(d for d in crd.definitions() if d["spec"]["names"]["kind"] == KIND)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    (version,) = definition()["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
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


def test_the_words_are_the_antennas(schema: dict[str, Any]) -> None:
    fields = schema["properties"]["spec"]["properties"]
    assert fields["ecosystem"]["enum"] == list(ECOSYSTEMS)
    assert fields["sectors"]["items"]["enum"] == list(SECTORS)


def test_the_columns_tell_how_a_partner_stands() -> None:
    (version,) = definition()["spec"]["versions"]
    shown = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert shown == ["Ecosystem", "Quota", "In use", "Pending", "Oldest wait", "Ready", "Age"]


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
