"""The words that partners are described with. Labels of metrics and reports use the same ones."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from infra.site.values import describe, refuse
from infra.suggestion import suggestion
from operators.tenancy import ECOSYSTEMS, SECTORS


def _one_of(noun: str, words: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise refuse(f"must be {noun}, not {describe(value)}; choose one of: {', '.join(words)}")
        if value not in words:
            raise refuse(f"{value!r} is not {noun}; {suggestion(value, words)}")
        return value

    return BeforeValidator(check)


Ecosystem = Annotated[str, _one_of("an ecosystem", ECOSYSTEMS), Field(examples=["flanders"])]
Sector = Annotated[str, _one_of("a sector", SECTORS), Field(examples=["science-research"])]
