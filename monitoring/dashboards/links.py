"""Links: the tunnels to remote sites, and the logins beyond them."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panel import (
    BYTES_A_SECOND,
    DAYS,
    OF_ONE,
    SECONDS,
    TRUE,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
)

_LINK: Final = Variable("link", "Link", "antenna_link_up")
_CHOSEN: Final = 'link=~"$link"'

_TUNNELS: Final = Row(
    "Tunnels",
    (
        Panel(
            "Up",
            "1 for a tunnel whose other end answered the last probe. It says nothing of the site behind it.",
            (Query(f"min by (link) (antenna_link_up{{{_CHOSEN}}})", "{{link}}"),),
            TRUE,
            alerts=("AntennaLinkDown",),
        ),
        Panel(
            "Round trip",
            "Mean of the last probe; absent when nothing came back.",
            (Query(f"max by (link) (antenna_link_round_trip_seconds{{{_CHOSEN}}})", "{{link}}"),),
            SECONDS,
        ),
        Panel(
            "Loss",
            "Part of the probe's packets of the last 5 minutes that were not answered.",
            (
                Query(
                    f"sum by (link) (rate(antenna_link_probe_packets_lost_total{{{_CHOSEN}}}[5m]))"
                    f" / sum by (link) (rate(antenna_link_probe_packets_total{{{_CHOSEN}}}[5m]))",
                    "{{link}}",
                ),
            ),
            OF_ONE,
            alerts=("AntennaLinkDegraded",),
        ),
        Panel(
            "Age of the last handshake",
            "WireGuard shakes hands every two minutes while something goes through: past 180 s it is old.",
            (
                Query(
                    f"time() - max by (link) (antenna_link_last_handshake_timestamp_seconds{{{_CHOSEN}}})",
                    "{{link}}",
                ),
            ),
            SECONDS,
        ),
        Panel(
            "Traffic",
            "Mean of the last 5 minutes. Counts begin anew with new keys.",
            tuple(
                Query(
                    f"sum by (link) (rate(antenna_link_{way}_bytes_total{{{_CHOSEN}}}[5m]))",
                    f"{{{{link}}}} {legend}",
                )
                for way, legend in (("receive", "in"), ("transmit", "out"))
            ),
            BYTES_A_SECOND,
        ),
        Panel(
            "Days until a login ends",
            "Of the key or certificate of a partner's login at a site, or of the reader's (no partner).",
            (
                Query(
                    "(min by (site, tenant) (antenna_remote_credentials_expiry_timestamp_seconds)"
                    " - time()) / 86400",
                    "{{site}} {{tenant}}",
                ),
            ),
            DAYS,
            empty="no login has a known end",
            alerts=("AntennaRemoteCredentialsExpire",),
        ),
    ),
)

LINKS: Final = Dashboard("links", "Links", "Do the ways to remote sites stand?", (_TUNNELS,), (_LINK,))
