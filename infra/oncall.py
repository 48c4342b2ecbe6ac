"""Whom the site's alerts reach, in the terms of its monitoring. Pure."""

from __future__ import annotations

from infra.site import Site
from infra.site import oncall as stated
from monitoring import oncall


def oncall_of(site: Site) -> oncall.Oncall | None:
    """None where alerts are sent to nobody."""
    if site.oncall is None:
        return None
    return oncall.Oncall(
        receivers=tuple(map(_receiver, site.oncall.receivers)),
        platform=_owner(site.oncall.platform),
        hours=tuple(
            oncall.Hours(one.name, one.timezone, one.days, one.begin, one.end) for one in site.oncall.hours
        ),
        partners={name: _owner(owner) for name, owner in site.oncall.partners.items()},
        sites={name: _owner(owner) for name, owner in site.oncall.sites.items()},
        links={link.name: link.site for link in site.links},
        watchdog=site.oncall.watchdog or "",
        runbooks=(site.oncall.runbooks or "").rstrip("/"),
        replicas=site.oncall.replicas,
    )


def _receiver(receiver: stated.Receiver) -> oncall.Receiver:
    way: oncall.Webhook | oncall.Chat | oncall.Email
    if receiver.webhook is not None:
        way = oncall.Webhook(receiver.webhook.url or "", receiver.webhook.token)
    elif receiver.email is not None:
        mail = receiver.email
        way = oncall.Email(mail.to, mail.sender, mail.smarthost, mail.username or "", mail.tls)
    else:
        way = oncall.Chat((receiver.chat.channel if receiver.chat else None) or "")
    return oncall.Receiver(receiver.name, way)


def _owner(owner: stated.Owner) -> oncall.Owner:
    routes = tuple(oncall.Route(one.receivers, one.severities, one.hours or "") for one in owner.routes)
    return oncall.Owner(owner.contact, routes)
