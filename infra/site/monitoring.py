"""What a site chooses about its monitoring."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.site.values import Model, Positive


class Monitoring(Model):
    """How long figures are kept."""

    retention_days: Annotated[Positive, Field(le=3650)] = 30
