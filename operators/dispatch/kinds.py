"""What the dispatch says of kinds that are not jobs: admission checks are active, sites answer or do not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from operators.api import API_VERSION, remote_site
from operators.dispatch import status
from operators.dispatch.checks import Health
from operators.dispatch.declared import Declared
from operators.k8s import Cluster
from operators.k8s_errors import Conflict, KubernetesError, NotFound
from operators.queues import API_VERSION as KUEUE
from operators.queues import CHECKS, CHECKS_CONTROLLER
from operators.tenancy import Object

_log = logging.getLogger(__name__)


class Kinds:
    """Writes conditions, and only where they change."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock

    def keep(self, declared: Declared, health: Mapping[str, Health]) -> bool:
        """Whether the admission checks are active and each RemoteSite says how it answers."""
        if not declared.site_objects:
            return True
        try:
            active = [self._keep_active(name) for name in CHECKS]
            for name, obj in list(declared.site_objects.items()):
                self._say_of_site(name, obj, declared, health.get(name))
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

    def _say_of_site(self, name: str, obj: Object, declared: Declared, health: Health | None) -> None:
        before = obj.get("status") or {}
        usable = name in declared.sites
        said = {
            "Ready": (
                usable,
                "Usable" if usable else "Invalid",
                "" if usable else "its entry cannot be read",
            ),
            **(
                {"Answers": (health.answers, "Answers" if health.answers else "Silent", health.message)}
                if health
                else {}
            ),
        }
        generation = obj["metadata"].get("generation", 0)
        after = status.conditions(before, said, generation, self._clock())
        if after == (before.get("conditions") or []):
            return
        declared.site_objects[name] = self._cluster.patch(
            *(API_VERSION, remote_site.KIND, name, None),
            {"status": {"observedGeneration": generation, "conditions": after}},
            subresource="status",
        )
