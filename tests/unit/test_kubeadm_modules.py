"""What decides in the modules about the control plane: dates of a certificate, how manifests differ."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from playbooks.library.kubeadm_admin import LEAST, LEAST_BEFORE_TOLD, fault
from playbooks.library.kubeadm_manifests import difference

NOW = datetime(2026, 12, 1)


def span(given: float, left: float) -> tuple[datetime, datetime]:
    end = NOW + timedelta(days=left)
    return end - timedelta(days=given), end


@pytest.mark.parametrize(
    ("given", "left", "told", "mended"),
    [
        (14, 14, "", ""),
        (14, 11, "", ""),
        # Made anew by any run long before anybody is told of it.
        (14, 8, "", "ends in 8 days"),
        (14, 5, "ends in 5 days", "ends in 5 days"),
        (14, -1, "ends in -1 days", "ends in -1 days"),
        (365, 300, "good for 365 days, declared 14", "good for 365 days, declared 14"),
    ],
)
def test_a_certificate_of_days(given: float, left: float, told: str, mended: str) -> None:
    assert fault(span(given, left), NOW, 14, LEAST_BEFORE_TOLD) == told
    assert fault(span(given, left), NOW, 14, LEAST) == mended


def test_a_file_without_a_certificate_is_none() -> None:
    assert fault(None, NOW, 14, LEAST) == "not readable"


def test_a_manifest_that_differs_is_told_by_its_flags() -> None:
    wanted = "  - command:\n    - etcd\n    - --quota-backend-bytes=5\n    - --client-cert-auth=true\n"
    found = "  - command:\n    - etcd\n    - --client-cert-auth=false\n"
    assert difference("etcd", found, wanted) == (
        "etcd: lacks --client-cert-auth=true, --quota-backend-bytes=5; has --client-cert-auth=false"
    )
    assert difference("etcd", wanted + "    image: x\n", wanted) == "etcd: its manifest differs"
