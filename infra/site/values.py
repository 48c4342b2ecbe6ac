"""The values that a site is written in: names, addresses, ranges, counts. Each refuses with its fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from infra.suggestion import nearest_label

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

# An nspawn machine is called STACK-NAME: with 12 and 20 bytes that stays far below the 64 bytes that
# Linux gives a host name.
MACHINE_NAME_LENGTH = 20
# A namespace is a DNS label of at most 63 bytes and a partner's is called tenant-NAME; Kueue puts the
# partner's name into labels and into the names of role bindings too.
TENANT_NAME_LENGTH = 40
# Flavors of remote sites are called SITE-PARTITION.
REMOTE_NAME_LENGTH = 30


class Model(BaseModel):
    """A part of the site: frozen, and without room for keys that mean nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    NOT_KEPT: ClassVar[Mapping[str, str]] = {}
    """Keys that may be thought of and that nothing would keep to, with what to do instead."""


def refuse(message: str) -> PydanticCustomError:
    """A refusal whose message is shown as it is."""
    # The message is handed over as context: a brace in what the user wrote must not act as a template.
    return PydanticCustomError("site", "{message}", {"message": message})


def _label(limit: int, *, letter_first: bool = False) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise refuse(f"must be a name in text, not {describe(value)}; write it in quotes")
        if not DNS_LABEL.fullmatch(value):
            raise refuse(
                f"{value!r} is not a DNS label (a-z, 0-9, '-' inside); write {nearest_label(value)[:limit]!r}"
            )
        if letter_first and not value[0].isalpha():
            raise refuse(f"{value!r} must begin with a letter; write 'n{value}'")
        if len(value) > limit:
            raise refuse(f"{value!r} has {len(value)} characters, the limit is {limit}; shorten it")
        return value

    return BeforeValidator(check)


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str):
        raise refuse(f"must be an IPv4 address in text, such as '10.77.0.11', not {describe(value)}")
    try:
        return IPv4Address(value)
    except AddressValueError:
        family = "an IPv6 address; the machines' network is IPv4" if ":" in value else "not an IPv4 address"
        raise refuse(f"{value!r} is {family}; write one such as 10.77.0.11") from None


_USELESS: Final = {
    IPv4Network(of): why
    for of, why in {
        "0.0.0.0/8": "which names this host and no other",
        "127.0.0.0/8": "which never leaves a host",
        "169.254.0.0/16": "which no router passes on",
        "224.0.0.0/4": "which is for multicast",
        "240.0.0.0/4": "which is reserved",
    }.items()
}
"""https://www.iana.org/assignments/iana-ipv4-special-registry/"""


def _range(value: Any) -> Any:
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str):
        raise refuse(f"must be an IPv4 range in text, such as '10.77.0.0/24', not {describe(value)}")
    if ":" in value:
        raise refuse(f"{value!r} is an IPv6 range; write an IPv4 range such as 10.77.0.0/24")
    if "/" not in value:
        raise refuse(f"{value!r} has no prefix length; write a range such as {value}/24")
    try:
        found = IPv4Network(value)
    except (AddressValueError, NetmaskValueError):
        raise refuse(f"{value!r} is not an IPv4 range; write one such as 10.77.0.0/24") from None
    except ValueError:
        fixed = IPv4Network(value, strict=False)
        raise refuse(f"{value!r} has host bits set; write {fixed}") from None
    if useless := next((one for one in _USELESS if found.subnet_of(one)), None):
        raise refuse(f"{value!r} is in {useless}, {_USELESS[useless]}; choose one such as 10.77.0.0/24")
    return found


_NOUNS: dict[type, str] = {list: "a list", tuple: "a list", dict: "a mapping", type(None): "nothing"}


def describe(value: object) -> str:
    """How a value of the wrong type is spoken of: "the number 3", "the text '3'"."""
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return _NOUNS.get(type(value)) or (f"the text {value!r}" if isinstance(value, str) else str(value))


Address = Annotated[IPv4Address, BeforeValidator(_address)]
Range = Annotated[IPv4Network, BeforeValidator(_range)]
MachineName = Annotated[str, _label(MACHINE_NAME_LENGTH, letter_first=True), Field(examples=["gpu-3"])]
TenantName = Annotated[str, _label(TENANT_NAME_LENGTH), Field(examples=["ku-leuven"])]
FlavorName = Annotated[str, _label(REMOTE_NAME_LENGTH), Field(examples=["h100"])]
LoginName = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$", examples=["antenna-ugent"])
]
RemoteName = Annotated[str, _label(REMOTE_NAME_LENGTH), Field(examples=["lumi"])]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
GpuModel = Annotated[
    # It becomes the value of a node label, by which flavors find their nodes.
    str,
    Field(
        strict=True,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
        examples=["NVIDIA-H100-80GB-HBM3"],
    ),
]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Positive = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Amount = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
