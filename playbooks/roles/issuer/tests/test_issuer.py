"""Role issuer, on live machines of a site that has a provider of its own."""

from __future__ import annotations

from typing import Any

GROUP = "head"
RUN = "people"
FOLDER = "/etc/antenna/issuer"


def test_the_provider_runs(machine: Any) -> None:
    assert machine.service("antenna-issuer").is_running
    assert machine.service("antenna-issuer").is_enabled


def test_it_runs_without_roots_rights_and_its_key_is_its_own(machine: Any) -> None:
    pid = machine.check_output("systemctl show --property MainPID --value antenna-issuer")
    assert machine.check_output("stat -c %%U /proc/%s", pid) == "antenna-issuer"
    files = [machine.file(f"{FOLDER}/{name}") for name in ("issuer.json", "tls.key")]
    assert {(file.mode, file.user) for file in files} == {(0o400, "antenna-issuer")}
