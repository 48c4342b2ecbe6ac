"""What the dispatch says of kinds that are not jobs: admission checks are active, sites answer or do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from operators.api import API_VERSION, remote_site
from operators.dispatch import status
from operators.dispatch.checks import Health
from operators.dispatch.declared import Declared
from operators.dispatch.known_logins import KnownLogins
from operators.dispatch.status import Said
from operators.kube.client import Cluster
from operators.kube.errors import Conflict, KubernetesError, NotFound
from operators.queues import API_VERSION as KUEUE
from operators.queues import CHECKS, CHECKS_CONTROLLER
from operators.tenancy import Object

_NOT_ASKED: Final[Said] = (None, "NotAsked", "no partner has a project there")

_log = logging.getLogger(__name__)


class Kinds:
    """Writes conditions, and only where they change."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock

    def keep(
        self,
        declared: Declared,
        health: Mapping[str, Health],
        asked: Mapping[str, Iterable[str]],
        logins: KnownLogins,
    ) -> bool:
        """Whether the admission checks are active and each RemoteSite says how it answers, and to whom.

        ``asked`` holds the sites that are asked at all, and the partners that have a project there.
        """
        if not declared.site_objects:
            return True
        try:
            active = [self._keep_active(name) for name in CHECKS]
            for name, obj in list(declared.site_objects.items()):
                said = {
                    "Answers": _answers(health.get(name), asked=name in asked),
                    "Logins": _logins(name, asked.get(name), logins),
                }
                self._say_of_site(name, obj, declared, {kind: one for kind, one in said.items() if one})
        except (Conflict, NotFound):
            return False
        except KubernetesError as error:
            _log.warning("admission checks: %s", error)
            return False
        return all(active)

    def _keep_active(self, name: str) -> bool:
        found = self._cluster.find(KUEUE, "AdmissionCheck", name)
        if found is None or found["spec"].get("controllerName") != CHECKS_CONTROLLER:
            return False
        before = found.get("status") or {}
        said = {"Active": (True, "Active", "the operator judges what is sent to remote sites")}
        generation = found["metadata"].get("generation", 0)
        after = status.conditions(before, said, generation, self._clock())
        if after != (before.get("conditions") or []):
            self._cluster.patch(
                *(KUEUE, "AdmissionCheck", name, None),
                {
                    "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                    "status": {"conditions": after},
                },
                subresource="status",
            )
        return True

    def _say_of_site(self, name: str, obj: Object, declared: Declared, beside: Mapping[str, Said]) -> None:
        before = obj.get("status") or {}
        usable = name in declared.sites
        said: dict[str, Said] = {
            "Ready": (
                usable,
                "Usable" if usable else "Invalid",
                "" if usable else "its entry cannot be read",
            ),
        }
        said |= beside
        generation = obj["metadata"].get("generation", 0)
        after = status.conditions(before, said, generation, self._clock())
        if after == (before.get("conditions") or []):
            return
        declared.site_objects[name] = self._cluster.patch(
            *(API_VERSION, remote_site.KIND, name, None),
            {"status": {"observedGeneration": generation, "conditions": after}},
            subresource="status",
        )


def _answers(health: Health | None, *, asked: bool) -> Said | None:
    """The condition Answers of a site. None: its first answer is still to come, and what was said stays."""
    if not asked:
        return _NOT_ASKED
    if health is None:
        return None
    return health.answers, "Answers" if health.answers else "Silent", health.message


def _logins(site: str, tenants: Iterable[str] | None, logins: KnownLogins) -> Said:
    """The condition Logins of a site: whether each partner with a project there can be sent there."""
    if tenants is None:
        return _NOT_ASKED
    found = (logins.health(site, tenant) for tenant in tenants)
    if shut_out := [health.message for health in found if not health.answers]:
        return False, "ShutOut", "; ".join(shut_out)
    return True, "Usable", ""
