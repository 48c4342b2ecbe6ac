"""Role slurm_standin, on live machines."""

from __future__ import annotations

from typing import Any

GROUP = "site"


def test_every_partition_of_the_sites_entry_is_up_with_its_limits(machine: Any) -> None:
    shown = machine.check_output("scontrol --oneliner show partition")
    told = machine.check_output("cat /etc/antenna/standin.json")
    assert shown.count("State=UP") == told.count('"billing"')


def test_no_node_is_down(machine: Any) -> None:
    assert machine.check_output("sinfo --noheader --Node --states=down,drained,fail --format=%N") == ""


def test_ssh_is_open_through_the_tunnel_alone(machine: Any) -> None:
    rules = machine.check_output("nft list table inet antenna_site")
    assert "policy drop" in rules
    assert "limit rate over" in rules


def test_no_unit_has_failed(machine: Any) -> None:
    assert machine.check_output("systemctl list-units --failed --plain --no-legend") == ""
