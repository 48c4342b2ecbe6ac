"""/metrics of the operator of a site, as a scraper with a token sees it."""

from __future__ import annotations

from typing import Any

from operators.manifests import CA_CONFIG_MAP, NAME, NAMESPACE
from tests.cluster.comparison import read
from tests.live.site_under_test import SiteUnderTest

AUDIENCE = "antenna-operator"
HOST = f"{NAME}.{NAMESPACE}.svc"


def token(site: SiteUnderTest, account: str, audience: str = AUDIENCE) -> str:
    return site.kubectl("create", "token", "-n", "default", account, f"--audience={audience}").strip()


class Door:
    """Where /metrics is, and the certificate that it shows."""

    def __init__(self, site: SiteUnderTest) -> None:
        self.site = site
        self.certificate = site.get("configmap", "-n", NAMESPACE, CA_CONFIG_MAP)["data"]["ca.crt"]
        self.address = site.get("service", "-n", NAMESPACE, NAME)["spec"]["clusterIP"]

    def scrape(self, bearer: str) -> tuple[int, str]:
        """(status, body), by the Service's name, from the head: the network lets no other machine there."""
        answer = self.site.on(
            "head",
            f"umask 077; f=$(mktemp); trap 'rm -f $f' EXIT; echo '{self.certificate}' >$f; "
            f"curl -sS --max-time 60 --cacert $f --resolve {HOST}:8443:{self.address} -w '\n%{{http_code}}' "
            f"-H 'Authorization: Bearer {bearer}' https://{HOST}:8443/metrics",
        )
        body, _, status = answer.rpartition("\n")
        return int(status), body


class ScrapedOperator:
    """The operator of a site with its figures, as a scraper with a token of the account sees them."""

    def __init__(self, site: SiteUnderTest, account: str) -> None:
        self.door, self.bearer = Door(site), token(site, account)

    def scrape(self) -> Any:
        """Every figure, as ``read`` tells them."""
        status, body = self.door.scrape(self.bearer)
        assert status == 200, body
        return read(body)


def scrape(site: SiteUnderTest, bearer: str) -> tuple[int, str]:
    """(status, body) of /metrics by the Service's name, over TLS with the published certificate."""
    return Door(site).scrape(bearer)
