"""What VictoriaMetrics scrapes, as Prometheus' own ``scrape_configs`` in plain data. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Config = dict[str, Any]

INTERVAL_SECONDS: Final = 15

OPERATOR_JOB: Final = "antenna-operator"
NODE_JOB: Final = "node"
KUBELET_JOB: Final = "kubelet"
CADVISOR_JOB: Final = "cadvisor"
KUEUE_JOB: Final = "kueue"
DCGM_JOB: Final = "dcgm"
NETWORK_POLICY_JOB: Final = "network-policy"
STORE_JOB: Final = "victoria-metrics"
ALERTER_JOB: Final = "vmalert"
ALERTMANAGER_JOB: Final = "alertmanager"
API_SERVER_JOB: Final = "apiserver"

OPERATOR_ADDRESS: Final = "antenna-operator.antenna-system.svc:8443"
KUEUE_ADDRESS: Final = "kueue-controller-manager-metrics-service.kueue-system.svc:8443"
NODE_EXPORTER_PORT: Final = 9100
DCGM_PORT: Final = 9400
NETWORK_POLICY_PORT: Final = 9080
API_SERVER_ADDRESS: Final = "kubernetes.default.svc:443"
STORE_PORT: Final = 8428
ALERTER_PORT: Final = 8880
ALERTMANAGER_PORT: Final = 9093

TOKENS: Final = "/var/run/secrets/antenna"
OPERATOR_TOKEN: Final = f"{TOKENS}/operator/token"
"""For the operator alone: nobody else takes its audience."""
OPERATOR_CA: Final = f"{TOKENS}/operator-ca/ca.crt"
CLUSTER_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (a path)

CLUSTER_CA: Final = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

MOST_PARTNERS: Final = 64
MOST_JOBS: Final = 700
"""Jobs and RemoteJobs that a partner's namespace may hold."""
BYTES_A_JOB: Final = 4096
"""Of the operator's page, with names as long as they may be."""
OPERATOR_PAGE_MIB: Final = MOST_PARTNERS * MOST_JOBS * BYTES_A_JOB // 2**20
"""A larger answer is refused, and with it all figures: what partners may hold must fit. VictoriaMetrics takes
16 MiB unless told otherwise."""

_API_SERVER_SECONDS: Final = 60
"""Its page is some megabytes, of which one family is kept."""
_API_SERVER_FAMILIES: Final = ("apiserver_storage_size_bytes",)
_ALERTMANAGER_FAMILIES: Final = (
    "alertmanager_alerts",
    "alertmanager_cluster_members",
    "alertmanager_config_last_reload_successful",
    "alertmanager_notifications_(failed_)?total",
    "alertmanager_silences",
    "process_.+",
)
_CADVISOR_FAMILIES: Final = (
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_oom_events_total",
)
_NETWORK_POLICY_FAMILIES: Final = (
    "antenna_network_policy_enforcing",
    "kube_network_policies_(packet_count|nfqueue_.+)",
    "process_.+",
)
_KUBELET_FAMILIES: Final = (
    "kubelet_certificate_manager_(client|server)_ttl_seconds",
    "kubelet_running_pods",
    "kubelet_node_name",
    "kubelet_pleg_relist_duration_seconds_(bucket|sum|count)",
    "kubelet_pod_start_sli_duration_seconds_(bucket|sum|count)",
    "kubelet_volume_stats_(available|capacity)_bytes",
    "process_.+",
)


def scrape_config(alertmanagers: Sequence[str] = ()) -> Config:
    """The whole configuration file of the scraper. ``alertmanagers`` are addresses, host:port."""
    return {
        "global": {"scrape_interval": f"{INTERVAL_SECONDS}s", "scrape_timeout": "10s"},
        "scrape_configs": [
            _operator(),
            _kueue(),
            _nodes(NODE_JOB, port=NODE_EXPORTER_PORT),
            _gpus(),
            _network_policies(),
            _kubelet(KUBELET_JOB, "/metrics", _KUBELET_FAMILIES),
            _kubelet(CADVISOR_JOB, "/metrics/cadvisor", _CADVISOR_FAMILIES),
            _api_server(),
            _beside(STORE_JOB, STORE_PORT),
            _beside(ALERTER_JOB, ALERTER_PORT),
            *([_alertmanager(alertmanagers)] if alertmanagers else []),
        ],
    }


def _operator() -> Config:
    """By its Service's name, not discovered: an operator without a pod is a target that is down."""
    return {
        "job_name": OPERATOR_JOB,
        "scheme": "https",
        "authorization": {"credentials_file": OPERATOR_TOKEN},
        "tls_config": {"ca_file": OPERATOR_CA, "server_name": OPERATOR_ADDRESS.partition(":")[0]},
        "static_configs": [{"targets": [OPERATOR_ADDRESS]}],
        "max_scrape_size": f"{OPERATOR_PAGE_MIB}MiB",
    }


def _kueue() -> Config:
    return {
        "job_name": KUEUE_JOB,
        "scheme": "https",
        "authorization": {"credentials_file": CLUSTER_TOKEN},
        # Kueue makes a certificate for itself at each start; upstream's ServiceMonitor does the same.
        "tls_config": {"insecure_skip_verify": True},
        "static_configs": [{"targets": [KUEUE_ADDRESS]}],
    }


def _nodes(job: str, *, port: int) -> Config:
    """An exporter on every node's own address."""
    return {
        "job_name": job,
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [_node_name(), _at_port(port)],
    }


def _gpus() -> Config:
    """The GPUs' exporter, on nodes that have any. Its own ``namespace`` and ``pod`` say who holds a GPU."""
    config = _nodes(DCGM_JOB, port=DCGM_PORT)
    with_gpus = {
        "source_labels": ["__meta_kubernetes_node_label_nvidia_com_gpu_present"],
        "regex": "true",
        "action": "keep",
    }
    return {
        **config,
        "honor_labels": True,
        "relabel_configs": [with_gpus, *config["relabel_configs"]],
    }


def _network_policies() -> Config:
    """Each node's network layer: that it is there, and what it lets through; not how long packets take."""
    config = _nodes(NETWORK_POLICY_JOB, port=NETWORK_POLICY_PORT)
    kept = {
        "source_labels": ["__name__"],
        "regex": "|".join(_NETWORK_POLICY_FAMILIES),
        "action": "keep",
    }
    return {**config, "metric_relabel_configs": [kept]}


def _kubelet(job: str, path: str, families: tuple[str, ...]) -> Config:
    return {
        "job_name": job,
        "scheme": "https",
        "metrics_path": path,
        "authorization": {"credentials_file": CLUSTER_TOKEN},
        # The head approves the kubelets' requests for certificates of the cluster.
        "tls_config": {"ca_file": CLUSTER_CA},
        # cAdvisor's timestamps are older than the scrape, so a container that ends would linger.
        "honor_timestamps": False,
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [_node_name()],
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "|".join(families), "action": "keep"}
        ],
    }


def _api_server() -> Config:
    """How large etcd's data is, which nobody but the API server may ask."""
    return {
        "job_name": API_SERVER_JOB,
        "scheme": "https",
        "scrape_interval": f"{_API_SERVER_SECONDS}s",
        "authorization": {"credentials_file": CLUSTER_TOKEN},
        "tls_config": {"ca_file": CLUSTER_CA},
        "static_configs": [{"targets": [API_SERVER_ADDRESS]}],
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "|".join(_API_SERVER_FAMILIES), "action": "keep"}
        ],
    }


def _alertmanager(addresses: Sequence[str]) -> Config:
    """Whether what it sends arrives; by name, so that one without a pod is a target that is down."""
    return {
        "job_name": ALERTMANAGER_JOB,
        "static_configs": [{"targets": list(addresses)}],
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "|".join(_ALERTMANAGER_FAMILIES), "action": "keep"}
        ],
    }


def _beside(job: str, port: int) -> Config:
    """A container of the scraper's own pod."""
    return {
        "job_name": job,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }


def _node_name() -> Config:
    return {"source_labels": ["__meta_kubernetes_node_name"], "target_label": "node"}


def _at_port(port: int) -> Config:
    return {
        "source_labels": ["__meta_kubernetes_node_address_InternalIP"],
        "target_label": "__address__",
        "replacement": f"$1:{port}",
    }
