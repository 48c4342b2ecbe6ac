"""Monitoring as Kubernetes objects: VictoriaMetrics and vmalert in one pod, Alertmanager beside it. Pure.

The first two listen on the pod's loopback address only. They know no users and no partners, so whoever could
reach them would read every partner's figures; the way in is ``kubectl port-forward``, which needs the
right to do so in this namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml

from monitoring import alertmanager, scrape
from monitoring.dashboards import vmui
from monitoring.dashboards.catalog import DASHBOARDS
from monitoring.oncall import Oncall, contact
from monitoring.parts import (
    NAMESPACE,
    Object,
    config_map,
    container,
    deployment,
    digest,
    labels,
    local_volume,
)
from monitoring.parts import metadata as of_namespace
from monitoring.rules.alert import RUNBOOKS
from monitoring.rules.groups import rule_files

NAME: Final = "victoria-metrics"
STORE_PORT: Final = scrape.STORE_PORT
CA_CONFIG_MAP: Final = "antenna-operator-ca"
OPERATOR: Final = {"kind": "ServiceAccount", "name": "antenna-operator", "namespace": "antenna-system"}
TOKEN_AUDIENCE: Final = "antenna-operator"  # noqa: S105 (a name)

FIGURES_ON_HEAD: Final = "/var/lib/antenna/monitoring"
"""Folder of the head where the figures lie."""

_SIZE: Final = "8Gi"
"""What the claim says; a folder is as large as its disk."""
_CONFIG: Final = "/etc/antenna"
_STORAGE: Final = "/storage"
_TOKEN_SECONDS: Final = 3600
_LABELS: Final = labels(NAME)

RIGHTS: Final[tuple[Object, ...]] = (
    # To find the nodes, and read their kubelets' metrics.
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    # The operator's and Kueue's.
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
)


def monitoring_objects(
    *,
    store_image: str,
    alerter_image: str,
    alertmanager_image: str,
    nodes: Sequence[str],
    retention_days: int,
    oncall: Oncall | None,
) -> list[Object]:
    """Everything in an order in which it can be applied.

    The figures are in a folder of the first of ``nodes``. Without ``oncall`` alerts are sent to nobody.
    """
    config = config_maps(oncall)
    told = alertmanager.alertmanager_objects(oncall, image=alertmanager_image, nodes=nodes) if oncall else []
    return [
        _namespace(),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME)},
        _cluster_role(),
        _cluster_role_binding(),
        *_operator_certificate(),
        *local_volume(NAME, NAME, path=FIGURES_ON_HEAD, node=nodes[0], size=_SIZE),
        *config,
        *told,
        deployment(
            NAME,
            NAME,
            # Neither answers a probe, listening on loopback; both end at once on what is wrong with them.
            containers=[_store(store_image, retention_days), _alerter(alerter_image, oncall)],
            volumes=_volumes(),
            config_digest=digest(config),
            pod={"serviceAccountName": NAME},
        ),
    ]


def config_maps(oncall: Oncall | None) -> list[Object]:
    """Scrape configuration, rules and dashboards, a ConfigMap each."""
    replicas = oncall.replicas if oncall else 0
    told_at = [alertmanager.address(name) for name in alertmanager.names(replicas)]
    scraped = scrape.scrape_config(told_at)
    runbooks = (oncall.runbooks if oncall else "") or RUNBOOKS
    rules = rule_files(runbooks, contact(oncall) if oncall else "")
    return [
        config_map(f"{NAME}-scrape", NAME, {"scrape.yaml": yaml.safe_dump(scraped, sort_keys=False)}),
        config_map(f"{NAME}-rules", NAME, rules),
        config_map(f"{NAME}-dashboards", NAME, vmui.files(DASHBOARDS, runbooks)),
    ]


def _metadata(name: str) -> Object:
    return of_namespace(name, NAME)


def _namespace() -> Object:
    modes = ("enforce", "audit", "warn")
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes},
        },
    }


def _cluster_role() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "antenna-scraper", "labels": dict(_LABELS)},
        "rules": [dict(rule) for rule in RIGHTS],
    }


def _cluster_role_binding() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "antenna-scraper", "labels": dict(_LABELS)},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "antenna-scraper",
        },
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    }


def _operator_certificate() -> list[Object]:
    """An empty ConfigMap that the operator, and nobody else, fills with its certificate."""
    role = f"{CA_CONFIG_MAP}-publisher"
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(CA_CONFIG_MAP)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": _metadata(role),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [CA_CONFIG_MAP],
                    "verbs": ["get", "patch"],
                }
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": _metadata(role),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [dict(OPERATOR)],
        },
    ]


def _store(image: str, retention_days: int) -> Object:
    arguments = [
        f"-httpListenAddr=127.0.0.1:{scrape.STORE_PORT}",
        f"-storageDataPath={_STORAGE}",
        f"-retentionPeriod={retention_days}d",
        f"-promscrape.config={_CONFIG}/scrape/scrape.yaml",
        f"-vmui.customDashboardsPath={_CONFIG}/dashboards",
        # vmui shows the alerts too.
        f"-vmalert.proxyURL=http://127.0.0.1:{scrape.ALERTER_PORT}",
        "-loggerFormat=json",
    ]
    mounts = [
        ("storage", _STORAGE, False),
        ("scrape", f"{_CONFIG}/scrape", True),
        ("dashboards", f"{_CONFIG}/dashboards", True),
        ("operator", scrape.TOKENS, True),
    ]
    return container(NAME, image, arguments, mounts, cpu="100m", memory="128Mi", limit="512Mi")


def _alerter(image: str, oncall: Oncall | None) -> Object:
    told = [
        f"-notifier.url=http://{alertmanager.address(name)}"
        for name in alertmanager.names(oncall.replicas if oncall else 0)
    ]
    store = f"http://127.0.0.1:{scrape.STORE_PORT}"
    arguments = [
        f"-httpListenAddr=127.0.0.1:{scrape.ALERTER_PORT}",
        f"-rule={_CONFIG}/rules/*.yaml",
        f"-datasource.url={store}",
        # What is recorded, and the state of the alerts across a restart.
        f"-remoteWrite.url={store}",
        f"-remoteRead.url={store}",
        # Without receivers alerts are shown, and sent to nobody.
        *(told or ["-notifier.blackhole"]),
        # It ends where nothing is heard of it for four times as long: not with a restart.
        f"-rule.resendDelay={alertmanager.RESEND_SECONDS}s",
        # Where the graph of an alert is while `antenna dashboard` runs.
        f"-external.url={store}",
        "-external.alert.source=vmui/#/?g0.expr={{.Expr|queryEscape}}",
        "-loggerFormat=json",
    ]
    return container(
        "vmalert",
        image,
        arguments,
        [("rules", f"{_CONFIG}/rules", True)],
        cpu="20m",
        memory="32Mi",
        limit="128Mi",
    )


def _volumes() -> list[Object]:
    config = [
        {"name": name, "configMap": {"name": f"{NAME}-{name}"}} for name in ("scrape", "rules", "dashboards")
    ]
    operator = {
        "name": "operator",
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "path": "operator/token",
                        "audience": TOKEN_AUDIENCE,
                        "expirationSeconds": _TOKEN_SECONDS,
                    }
                },
                # The operator puts its certificate there when it first starts.
                {
                    "configMap": {
                        "name": CA_CONFIG_MAP,
                        "optional": True,
                        "items": [{"key": "ca.crt", "path": "operator-ca/ca.crt"}],
                    }
                },
            ]
        },
    }
    return [*config, operator, {"name": "storage", "persistentVolumeClaim": {"claimName": NAME}}]
