"""Role issuer, on live machines."""

from __future__ import annotations

from typing import Any

GROUP = "head"
FOLDER = "/etc/antenna/issuer"


def test_the_provider_runs_where_the_site_has_one_of_its_own(machine: Any, variables: dict[str, Any]) -> None:
    declared = bool(variables["antenna_issuer_folder"])
    assert machine.file(f"{FOLDER}/tls.key").exists == declared
    if declared:
        assert machine.service("antenna-issuer").is_running
        assert machine.service("antenna-issuer").is_enabled


def test_it_runs_without_roots_rights_and_its_key_is_its_own(machine: Any, variables: dict[str, Any]) -> None:
    if variables["antenna_issuer_folder"]:
        pid = machine.check_output("systemctl show --property MainPID --value antenna-issuer")
        assert machine.check_output("stat -c %%U /proc/%s", pid) == "antenna-issuer"
        files = [machine.file(f"{FOLDER}/{name}") for name in ("issuer.json", "tls.key")]
        assert {(file.mode, file.user) for file in files} == {(0o400, "antenna-issuer")}
