"""Whom alerts reach: receivers, who owns what and how it is called, at which hours."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from infra.site.values import Flag, Model, Positive, RemoteName, TenantName, Text, describe, refuse
from monitoring.oncall import DAYS, SECRET, SEVERITIES

_MAKE = f"put it into the Secret {SECRET} (docs/monitoring.md, Whom alerts reach)"
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refuse(
            f"{value!r} is no http:// or https:// address; write one such as https://pages.example.org/"
        )
    if parts.username or parts.password or parts.query:
        raise refuse(
            "has a user, a password or a query in it, and everybody may read this file: leave url out and "
            + _MAKE
        )
    return value


def _clock(value: Any) -> Any:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise refuse(f"{describe(value)} is no time of day; write one such as '08:00', in quotes")
    return value


def _zone(value: str) -> str:
    # As Alertmanager reads it: https://prometheus.io/docs/alerting/latest/configuration/#time_interval
    try:
        zoneinfo.ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise refuse(f"{value!r} is no time zone; write one such as Europe/Brussels") from None
    return value


def _mailbox(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>,]+@[A-Za-z0-9.-]+", value):
        raise refuse(f"{value!r} is no e-mail address; write one such as oncall@example.org")
    return value


def _contact(value: str) -> str:
    if "{{" in value or "\n" in value:
        raise refuse("stands in alerts as it is; write one line without '{{'")
    return value


Url = Annotated[
    str,
    Field(strict=True, max_length=500, examples=["https://pages.example.org/"]),
    AfterValidator(_address),
]
Clock = Annotated[str, BeforeValidator(_clock), Field(examples=["'08:00'"])]
Zone = Annotated[str, Field(strict=True, examples=["Europe/Brussels"]), AfterValidator(_zone)]
Mailbox = Annotated[
    str, Field(strict=True, max_length=254, examples=["oncall@example.org"]), AfterValidator(_mailbox)
]
Contact = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=200, examples=["LUMI user support, support@lumi.example"]),
    AfterValidator(_contact),
]
ReceiverName = RemoteName
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Severity = Literal["critical", "warning"]


class Webhook(Model):
    """A program's address, to which each notification is posted as Alertmanager's JSON."""

    url: Url | None = None
    """None: it is secret itself, and in the Secret as NAME.url."""
    token: Flag = False
    """Whether the Secret has NAME.token, which is sent along as a bearer token."""


class Chat(Model):
    """A chat room by its incoming webhook in Slack's format, which Mattermost and Rocket.Chat take too.

    Whoever has its address writes there: it is in the Secret as NAME.url.
    """

    channel: Text | None = None
    """None: the webhook's own."""


class Email(Model):
    """Mail through a server that takes it; a password, for a username, is in the Secret as NAME.password."""

    to: tuple[Mailbox, ...] = Field(min_length=1, examples=[["oncall@example.org"]])
    sender: Mailbox
    smarthost: Annotated[
        str,
        Field(strict=True, pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$", examples=["mail.example.org:587"]),
    ]
    username: Text | None = None
    tls: Flag = True
    """Whether mail that cannot go encrypted is not sent."""


class Receiver(Model):
    """One way to somebody: exactly one of the three."""

    name: ReceiverName = Field(examples=["pager"])
    webhook: Webhook | None = None
    chat: Chat | None = None
    email: Email | None = None


class Hours(Model):
    """When somebody is there. Over midnight: two entries of one name."""

    name: ReceiverName = Field(examples=["office"])
    timezone: Zone
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)
    begin: Clock
    end: Clock


class Route(Model):
    """Who is told of which severities, and when. Outside of ``hours`` it is told once they begin."""

    receivers: tuple[ReceiverName, ...] = Field(min_length=1, examples=[["pager"]])
    severities: tuple[Severity, ...] = Field(default=SEVERITIES, min_length=1)
    hours: ReceiverName | None = None


class Owner(Model):
    """Whose something is: how that one is called, and what is sent to it."""

    contact: Contact
    """Stands in every alert of its own: whom to call, and how."""
    routes: tuple[Route, ...] = ()


class Oncall(Model):
    """Whom alerts reach. Without it they are shown and sent to nobody."""

    replicas: Annotated[Positive, Field(le=2)] = 1
    """Alertmanagers: two share what they know, and one notification goes out."""
    receivers: tuple[Receiver, ...] = Field(min_length=1, examples=[[{"name": "pager", "webhook": {}}]])
    hours: tuple[Hours, ...] = ()
    platform: Owner = Field(examples=[{"contact": "on-call, +32 2 555 01 00", "routes": ["..."]}])
    """The team that runs the Antenna: every alert is its own."""
    partners: dict[TenantName, Owner] = Field(default={})
    """Told beside the team of what concerns the partner itself."""
    sites: dict[RemoteName, Owner] = Field(default={})
    """The remote sites' contacts; told beside the team where they have routes."""
    watchdog: ReceiverName | None = None
    """Gets a beat each minute while alerts would reach people: `antenna watchdog` on another host."""
    runbooks: Url | None = None
    """Where docs/runbooks is served: alerts' runbook_url begins with it. None: a path in this repository."""
