"""The values that the API is written in. Each carries the schema by which the API server checks it."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from operators.queues import quantity

# A namespace is a DNS label of at most 63 bytes and a partner's is called tenant-NAME; Kueue puts the
# partner's name into labels and into the names of role bindings too.
NAME_LENGTH: Final = 40
DNS_LABEL: Final = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
QUANTITY_LENGTH: Final = 32  # characters; a bound that the cost of the rules is reckoned from


class Model(BaseModel):
    """A part of an object: frozen, in the API's spelling, its attributes' docstrings as descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


def rules(*pairs: tuple[str, str], **others: Any) -> dict[str, Any]:
    """Schema of (CEL rule, message) pairs: https://kubernetes.io/docs/reference/using-api/cel/"""
    validations = [{"rule": rule, "message": message} for rule, message in pairs]
    return {"x-kubernetes-validations": validations, **others}


def decimal(number: Fraction) -> str:
    """A number as an ``Amount``. Raises ValueError for one that no 9 decimals hold, such as a third."""
    billionths = number * 10**9
    if billionths.denominator != 1 or number < 0:
        raise ValueError(f"{number} cannot be written with 9 decimals")
    whole, rest = divmod(billionths.numerator, 10**9)
    return f"{whole}.{rest:09}".rstrip("0").rstrip(".")


def _amount(value: str) -> str:
    if quantity(value) < 0:
        raise ValueError("must not be negative")
    return value


def _not_kubernetes_own(value: str) -> str:
    if value.startswith("system:"):
        raise ValueError("is Kubernetes' own group and would let others in")
    return value


Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    AfterValidator(_amount),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": QUANTITY_LENGTH,
            **rules(
                ("isQuantity(string(self))", "is not a Kubernetes quantity, such as 4, 500m or 64Gi"),
                (
                    "!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('0')) >= 0",
                    "must not be negative",
                ),
            ),
        }
    ),
]
"""A Kubernetes quantity that is not negative."""

Amount = Annotated[str, Field(min_length=1, max_length=25, pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?$")]
"""A number that is not negative, exactly as written: 0.5, 288."""

ObjectName = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]

Group = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9:._/@-]*$",
        json_schema_extra=rules(
            (
                "!self.startsWith('system:')",
                "is Kubernetes' own group and would let others in: name one of the partner's",
            )
        ),
    ),
    AfterValidator(_not_kubernetes_own),
]
"""A group as the cluster's authentication names it."""


def one_of(*words: str) -> tuple[AfterValidator, WithJsonSchema]:
    """A string that is one of ``words``."""

    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": list(words)})
