"""Whom alerts reach, as plain data, and Alertmanager's configuration made of it. Pure.

https://prometheus.io/docs/alerting/latest/configuration/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from monitoring.rules.alerts import ALERTS, HEARTBEAT
from monitoring.rules.inhibition import INHIBITIONS

Config = dict[str, Any]

SECRET: Final = "antenna-receivers"  # noqa: S105 (a name)
"""What is secret about receivers: NAME.url, NAME.token, NAME.password. An administrator makes it."""
SECRETS: Final = "/etc/antenna/receivers"
"""Where Alertmanager has it; each file is read anew for each notification."""

RECEIVER_PORT: Final = 9095
"""Where a receiver in the machines' network listens: pods are let to no other of it for this."""

BEAT_SECONDS: Final = 60
"""Between two beats of the watchdog."""

SEVERITIES: Final = ("critical", "warning")
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_NOBODY: Final = "nobody"
_GROUPED_BY: Final = ["alertname", "site", "link", "node"]
"""One notification a cause: partners and sources that one fault concerns are told together."""
_PACES: Final[Mapping[str, Config]] = {
    # As long as what follows from a fault takes to fire beside it, so that it is told alone.
    "critical": {"group_wait": "15s", "group_interval": "1m", "repeat_interval": "4h"},
    "warning": {"group_wait": "45s", "group_interval": "5m", "repeat_interval": "24h"},
}


@dataclass(frozen=True)
class Webhook:
    """``url`` "": in the Secret."""

    url: str = ""
    token: bool = False


@dataclass(frozen=True)
class Chat:
    """An incoming webhook of Slack's format; its address is in the Secret."""

    channel: str = ""


@dataclass(frozen=True)
class Email:
    """Mail through ``smarthost`` (host:port); its password, where it has a username, is in the Secret."""

    to: tuple[str, ...]
    sender: str
    smarthost: str
    username: str = ""
    tls: bool = True


@dataclass(frozen=True)
class Receiver:
    """One way to somebody."""

    name: str
    way: Webhook | Chat | Email

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys of the Secret that it needs."""
        match self.way:
            case Webhook(url, token):
                wanted = [*([] if url else ["url"]), *(["token"] if token else [])]
            case Chat():
                wanted = ["url"]
            case Email():
                wanted = ["password"] if self.way.username else []
        return tuple(f"{self.name}.{kind}" for kind in wanted)


@dataclass(frozen=True)
class Hours:
    """When somebody is there; ``begin`` and ``end`` are HH:MM in ``timezone``."""

    name: str
    timezone: str
    days: tuple[str, ...]
    begin: str
    end: str


@dataclass(frozen=True)
class Route:
    """``hours`` "": at all hours."""

    receivers: tuple[str, ...]
    severities: tuple[str, ...]
    hours: str = ""


@dataclass(frozen=True)
class Owner:
    """How one is called, and what is sent to it."""

    contact: str
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Oncall:
    """Whom alerts of one site reach."""

    receivers: tuple[Receiver, ...]
    platform: Owner
    hours: tuple[Hours, ...] = ()
    partners: Mapping[str, Owner] = field(default_factory=dict)
    sites: Mapping[str, Owner] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    """The remote site behind each link."""
    watchdog: str = ""
    runbooks: str = ""
    replicas: int = 1


def alertmanager_config(oncall: Oncall) -> Config:
    """The whole configuration file. It holds no secret: these are files of ``SECRETS``."""
    return {
        "route": {
            "receiver": _NOBODY,
            "group_by": _GROUPED_BY,
            "routes": [*_heartbeat(oncall), *_partners(oncall), *_sites(oncall), *_platform(oncall)],
        },
        "receivers": [{"name": _NOBODY}, *map(_receiver, oncall.receivers), *_beats(oncall)],
        "inhibit_rules": list(_inhibit_rules(oncall)),
        "time_intervals": _time_intervals(oncall),
    }


def secret_keys(oncall: Oncall) -> tuple[str, ...]:
    """What the Secret must hold for all receivers to be reached."""
    return tuple(key for receiver in oncall.receivers for key in receiver.secrets)


def contact(oncall: Oncall) -> str:
    """The text of an alert's annotation, in the templates of alerts: whom to call for what it is about."""
    parts = [oncall.platform.contact]
    for name, owner in oncall.sites.items():
        links = [link for link, site in oncall.links.items() if site == name]
        about = " ".join(
            [
                f"(eq $labels.site {json.dumps(name)})",
                *(f"(eq $labels.link {json.dumps(one)})" for one in links),
            ]
        )
        parts.append(f"{{{{ if or {about} }}}}; {name}: {owner.contact}{{{{ end }}}}")
    for name, owner in oncall.partners.items():
        parts.append(
            f"{{{{ if eq $labels.tenant {json.dumps(name)} }}}}; {name}: {owner.contact}{{{{ end }}}}"
        )
    return "".join(parts)


def _heartbeat(oncall: Oncall) -> list[Config]:
    """To its receiver alone; a site without one tells nobody of it."""
    return [
        {
            "receiver": _beat(oncall.watchdog) if oncall.watchdog else _NOBODY,
            "matchers": [_is("alertname", HEARTBEAT.name)],
            # Alertmanager looks each group_interval, and repeats what is older than repeat_interval.
            **{"group_wait": "0s", "group_interval": f"{BEAT_SECONDS}s", "repeat_interval": "10s"},
        }
    ]


def _partners(oncall: Oncall) -> Iterator[Config]:
    concerned = [alert.name for alert in ALERTS if "partner" in alert.concerns]
    for name, owner in oncall.partners.items():
        yield from _routes(owner, [_is("tenant", name), _among("alertname", concerned)])


def _sites(oncall: Oncall) -> Iterator[Config]:
    """What the site itself can mend; its link's alert names the link."""
    concerned = [alert.name for alert in ALERTS if "site" in alert.concerns]
    for name, owner in oncall.sites.items():
        yield from _routes(owner, [_is("site", name), _among("alertname", concerned)])
        if links := [link for link, site in oncall.links.items() if site == name]:
            matchers = [_among("link", links), _among("alertname", concerned)]
            yield from _routes(owner, matchers)


def _platform(oncall: Oncall) -> Iterator[Config]:
    yield from _routes(oncall.platform, [_is("owner", "platform")])


def _routes(owner: Owner, matchers: Sequence[str]) -> Iterator[Config]:
    """A route a receiver and severity."""
    for route in owner.routes:
        for severity in route.severities:
            for receiver in route.receivers:
                yield {
                    "receiver": receiver,
                    "matchers": [*matchers, _is("severity", severity)],
                    "continue": True,
                    **_PACES[severity],
                    **({"active_time_intervals": [route.hours]} if route.hours else {}),
                }


def _receiver(receiver: Receiver) -> Config:
    name = receiver.name
    match receiver.way:
        case Webhook():
            return {"name": name, "webhook_configs": [_webhook(name, receiver.way, resolved=True)]}
        case Chat(channel):
            chat = {
                "api_url_file": f"{SECRETS}/{name}.url",
                **({"channel": channel} if channel else {}),
                "send_resolved": True,
                "title": _TITLE,
                "text": _TEXT,
            }
            return {"name": name, "slack_configs": [chat]}
        case Email() as mail:
            login = {"auth_username": mail.username, "auth_password_file": f"{SECRETS}/{name}.password"}
            return {
                "name": name,
                "email_configs": [
                    {
                        "to": ", ".join(mail.to),
                        "from": mail.sender,
                        "smarthost": mail.smarthost,
                        "require_tls": mail.tls,
                        "send_resolved": True,
                        "headers": {"Subject": _TITLE},
                        "text": _TEXT,
                        "html": "",
                        **(login if mail.username else {}),
                    }
                ],
            }


def _webhook(name: str, way: Webhook, *, resolved: bool) -> Config:
    token = {"authorization": {"credentials_file": f"{SECRETS}/{name}.token"}}
    return {
        **({"url": way.url} if way.url else {"url_file": f"{SECRETS}/{name}.url"}),
        "send_resolved": resolved,
        "timeout": "10s",
        **({"http_config": token} if way.token else {}),
    }


def _beats(oncall: Oncall) -> Iterator[Config]:
    """The watchdog's receiver once more: a beat that ends is not told, it is missed."""
    for receiver in oncall.receivers:
        if receiver.name == oncall.watchdog and isinstance(receiver.way, Webhook):
            beat = _webhook(receiver.name, receiver.way, resolved=False)
            yield {"name": _beat(receiver.name), "webhook_configs": [beat]}


def _beat(receiver: str) -> str:
    return f"{receiver}-beat"


def _inhibit_rules(oncall: Oncall) -> Iterator[Config]:
    for row in INHIBITIONS:
        sources, targets = _is("alertname", row.cause), _among("alertname", row.follows)
        if row.through != "site behind link":
            equal = [row.through] if row.through else []
            yield {"source_matchers": [sources], "target_matchers": [targets], "equal": equal}
            continue
        # The cause names a link, what follows from it names the site behind it.
        for link, site in oncall.links.items():
            yield {
                "source_matchers": [sources, _is("link", link)],
                "target_matchers": [targets, _is("site", site)],
            }


def _time_intervals(oncall: Oncall) -> list[Config]:
    names = dict.fromkeys(hours.name for hours in oncall.hours)
    return [
        {
            "name": name,
            "time_intervals": [
                {
                    "weekdays": list(hours.days),
                    "times": [{"start_time": hours.begin, "end_time": hours.end}],
                    "location": hours.timezone,
                }
                for hours in oncall.hours
                if hours.name == name
            ],
        }
        for name in names
    ]


def _is(label: str, value: str) -> str:
    return f"{label}={json.dumps(value)}"


def _among(label: str, values: Sequence[str]) -> str:
    """Names of alerts, links and sites hold nothing that means something in a regular expression."""
    return f"{label}=~{json.dumps('|'.join(values))}"


_TITLE: Final = (
    "[{{ .Status | toUpper }}] {{ (index .Alerts 0).Annotations.summary }}"
    "{{ if gt (len .Alerts) 1 }} and {{ len (slice .Alerts 1) }} more{{ end }}"
)
_TEXT: Final = (
    "{{ range .Alerts }}{{ .Labels.severity }}: {{ .Annotations.summary }}\n"
    "{{ .Annotations.description }}\n"
    "since {{ .StartsAt }}{{ with .Annotations.contact }}, call {{ . }}{{ end }}\n"
    "{{ .Annotations.runbook_url }}\n\n{{ end }}"
)
