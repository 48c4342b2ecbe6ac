"""Families that rules and dashboards use and that are not in the operator's catalog: whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FOREIGN: Final[Mapping[str, str]] = {
    "apiserver_storage_size_bytes": "the API server: bytes of etcd's file, which etcd's quota bounds",
    "up": "the scraper: 1 for a target that answered",
    "antenna_network_policy_enforcing": "a node's network layer: 1 while it decides about pods' connections",
    "antenna_link_up": "the gateway's probe, by node_exporter: 1 for a tunnel whose other end answers",
    "antenna_link_last_handshake_timestamp_seconds": "the same: when WireGuard last shook hands, Unix time",
    "antenna_link_round_trip_seconds": "the same: mean round trip of the last probe",
    "antenna_link_probe_packets_total": "the same: probe packets sent",
    "antenna_link_probe_packets_lost_total": "the same: probe packets not answered",
    "antenna_link_receive_bytes_total": "the same: bytes received since the tunnel's keys changed",
    "antenna_link_transmit_bytes_total": "the same: bytes sent since the tunnel's keys changed",
    "ALERTS": "vmalert: 1 for an alert that is pending or fires, as alertstate says",
    "kueue_admission_attempts_total": "Kueue: attempts to admit, by result",
    "node_memory_MemAvailable_bytes": "node_exporter: memory that programs can have",
    "vm_data_size_bytes": "VictoriaMetrics: bytes of figures on disk, by type",
    "vm_free_disk_space_bytes": "VictoriaMetrics: bytes left of the disk that they are on",
    "DCGM_FI_DEV_GPU_TEMP": "NVIDIA's DCGM exporter: degrees Celsius of a GPU",
    "alertmanager_notifications_failed_total": "Alertmanager: notifications given up, by receiver and why",
    "kubelet_certificate_manager_client_ttl_seconds": "a kubelet: seconds left of its certificate as client",
    "kubelet_certificate_manager_server_ttl_seconds": "the same, as a server",
    "node_filesystem_avail_bytes": "node_exporter: room of a file system that is left to all",
    "node_filesystem_size_bytes": "node_exporter: all of a file system's room",
    "node_time_seconds": "node_exporter: the machine's clock, Unix time",
    "process_start_time_seconds": "each program that tells of itself: when it began, Unix time",
    "scrape_response_size_bytes": "the scraper: what a target told last, not compressed",
    "vmalert_alerting_rules_errors_total": "vmalert: evaluations of alerts that ended with an error",
    "vmalert_recording_rules_errors_total": "vmalert: the same of recording rules",
    "DCGM_FI_DEV_POWER_USAGE": "NVIDIA's DCGM exporter: watts of a GPU",
    "DCGM_FI_DEV_GPU_UTIL": "NVIDIA's DCGM exporter: percent of the time that a GPU was busy",
    "DCGM_FI_DEV_XID_ERRORS": "NVIDIA's DCGM exporter: the driver's last error of a GPU, 0 for none",
}
