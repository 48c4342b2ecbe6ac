"""Machines made on this host: up, drifted, mended, killed half-way, gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import paths
from infra.provider import cgroups, container, interfaces, leftovers, ssh
from infra.provider.kind import ProviderError
from infra.provider.machine import Machine
from infra.provider.network import Network
from tests.host.conftest import STACK, create_all, delete_all, machine_inputs, network_inputs, quiet

# Beside a site that comes up; alone it takes 6 and 3.
STARTED_SECONDS = 60
DELETED_SECONDS = 40


def mounts() -> list[str]:
    """Those of this host that are of the tests' stack, or of no stack: other tests' sites come and go."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    others = f"{paths.home_dir()}/"
    return [line for line in lines if others not in line or f"{paths.stack_dir(STACK)}/" in line]


def read_drift(machine: dict[str, Any]) -> list[str]:
    found = Machine().read(f"{machine['stack']}/{machine['name']}", machine, machine, quiet)
    assert found is not None
    drift: list[str] = found[2]["drift"]
    return drift


def mend(machine: dict[str, Any]) -> dict[str, Any]:
    outputs = Machine().update("", machine, machine, machine, quiet)
    assert outputs["drift"] == []
    return outputs


def test_three_machines_come_up_reach_each_other_and_leave_nothing(
    network: dict[str, Any], debian: str
) -> None:
    before = mounts()
    machines = [
        machine_inputs(network, debian, n, i) for n, i in (("head", 10), ("gpu-1", 11), ("gpu-2", 12))
    ]
    began = time.monotonic()
    outputs = create_all(machines)
    assert time.monotonic() - began < STARTED_SECONDS
    for machine in outputs:
        login = ssh.Login.of(machine)
        assert ssh.run(login, "hostname").strip() == machine["name"]
        assert ssh.run(login, "ping -c1 -W2 10.97.0.12 >/dev/null && echo reached").strip() == "reached"
        assert ssh.run(login, "systemctl is-system-running").strip() == "running"
        assert read_drift(machine) == []
    kinds = {trace.kind for trace in leftovers.list_traces(network["stack"])}
    assert kinds == {"process", "mount", "link", "cgroup", "folder"}
    began = time.monotonic()
    delete_all(outputs)
    Network().delete("", network, network, quiet)
    assert time.monotonic() - began < DELETED_SECONDS
    assert leftovers.list_traces(network["stack"]) == []
    assert mounts() == before


def test_a_machine_may_use_its_cgroups_devices_and_real_folders(network: dict[str, Any], debian: str) -> None:
    login = ssh.Login.of(create_all([machine_inputs(network, debian, "head", 10)])[0])
    for controller in ("memory", "pids", "cpu"):
        if Path(f"/sys/fs/cgroup/{controller}").is_dir():
            ssh.run(login, f"mkdir /sys/fs/cgroup/{controller}/try && rmdir /sys/fs/cgroup/{controller}/try")
    assert ssh.run(login, "readlink /dev/kmsg").strip() == "/dev/console"
    assert ssh.run(login, "test -c /dev/net/tun && echo yes").strip() == "yes"
    for folder in ("/var/lib/containerd", "/var/lib/kubelet"):
        # A second overlay on top of them is what containerd needs.
        overlay = "mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m"
        ssh.run(login, f"cd {folder} && mkdir l u w m && {overlay} && umount m")


def test_a_stopped_machine_is_told_and_started_again_with_its_disk(
    network: dict[str, Any], debian: str
) -> None:
    (machine,) = create_all([machine_inputs(network, debian, "head", 10)])
    ssh.run(ssh.Login.of(machine), "echo kept > /root/file")
    container.stop(machine["stack"], machine["name"])
    assert read_drift(machine) == ["machine stopped"]
    assert Machine().diff(machine, {**machine, "drift": ["machine stopped"]}, machine).changes == ["drift"]
    outputs = mend(machine)
    assert outputs["host_key"] == machine["host_key"]
    assert ssh.run(ssh.Login.of(outputs), "cat /root/file").strip() == "kept"
    assert read_drift(outputs) == []


def test_an_unplugged_machine_is_told_and_plugged_in_while_it_runs(
    network: dict[str, Any], debian: str
) -> None:
    (machine,) = create_all([machine_inputs(network, debian, "head", 10)])
    booted = ssh.run(ssh.Login.of(machine), "cat /proc/1/stat").split()[21]
    link = container.link_name(machine["stack"], machine["name"])
    subprocess.run(["ip", "link", "set", link, "nomaster"], check=True)
    assert any("not on bridge" in line for line in read_drift(machine))
    mend(machine)
    assert ssh.run(ssh.Login.of(machine), "cat /proc/1/stat").split()[21] == booted
    assert read_drift(machine) == []


def test_a_lost_operators_key_is_told_and_made_anew(network: dict[str, Any], debian: str) -> None:
    (machine,) = create_all([machine_inputs(network, debian, "head", 10)])
    Path(machine["identity_file"]).unlink()
    assert read_drift(machine) == ["operator's key: missing"]
    assert ssh.run(ssh.Login.of(mend(machine)), "hostname").strip() == "head"


def test_other_artifacts_are_seen_without_a_restart(
    network: dict[str, Any], debian: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").symlink_to(paths.cache_dir() / "base")
    for digest in ("one", "two"):
        (tmp_path / "artifacts" / digest / "bin").mkdir(parents=True)
        (tmp_path / "artifacts" / digest / "bin" / digest).touch()
    monkeypatch.setenv("ANTENNA_CACHE", str(tmp_path))
    inputs = {**machine_inputs(network, debian, "head", 10), "artifacts": "one"}
    (machine,) = create_all([inputs])
    assert ssh.run(ssh.Login.of(machine), "ls /opt/antenna/artifacts/bin").strip() == "one"
    outputs = Machine().update("", inputs, machine, {**inputs, "artifacts": "two"}, quiet)
    assert ssh.run(ssh.Login.of(outputs), "ls /opt/antenna/artifacts/bin").strip() == "two"
    # pytest's temporary folder must not be removed from under the machine.
    delete_all([outputs])


def test_creating_twice_adopts_the_running_machine(network: dict[str, Any], debian: str) -> None:
    inputs = machine_inputs(network, debian, "head", 10)
    first, second = create_all([inputs])[0], create_all([inputs])[0]
    assert first == second


def test_a_machine_without_its_disk_is_gone(network: dict[str, Any], debian: str) -> None:
    (machine,) = create_all([machine_inputs(network, debian, "head", 10)])
    delete_all([machine])
    assert Machine().read("", machine, machine, quiet) is None
    delete_all([machine])


def test_a_machine_is_imported_by_its_id(network: dict[str, Any], debian: str) -> None:
    inputs = machine_inputs(network, debian, "head", 10)
    (machine,) = create_all([inputs])
    found = Machine().read(f"{inputs['stack']}/head", {}, {}, quiet)
    assert found is not None
    _, imported, state = found
    assert {**inputs, **imported} == inputs
    assert state["host_key"] == machine["host_key"]
    assert Machine().read(f"{inputs['stack']}/nobody", {}, {}, quiet) is None


@pytest.mark.parametrize("seconds", [0.1, 0.4, 0.8, 1.5, 2.5])
def test_a_create_killed_half_way_is_finished_by_the_next(
    network: dict[str, Any], debian: str, seconds: float
) -> None:
    inputs = machine_inputs(network, debian, "head", 10)
    script = (
        "from infra.provider.machine import Machine\nprint(1, flush=True)\n"
        f"Machine().create({inputs!r}, lambda s: None)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
    (machine,) = create_all([inputs])
    assert ssh.run(ssh.Login.of(machine), "hostname").strip() == "head"
    containers = [p for p in cgroups.processes("t-mach", "head") if _is_nspawn(p)]
    assert len(containers) == 1


def test_what_a_cut_start_brings_in_late_is_killed_too(
    clean_stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shell may enter the folders only when all that was in them has been killed."""
    folder, *_ = cgroups.make(clean_stack, "head")
    late: list[subprocess.Popen[bytes]] = []

    def kill(stack: str, machine: str, real: Callable[[str, str], set[int]] = cgroups.kill) -> set[int]:
        left = real(stack, machine)
        if not late:
            enters = 'echo $$ > "$0/cgroup.procs"; echo in; exec sleep 60'
            late.append(subprocess.Popen(["sh", "-c", enters, folder], stdout=subprocess.PIPE))
            assert late[0].stdout
            late[0].stdout.readline()
        return left

    monkeypatch.setattr(cgroups, "kill", kill)
    container.stop(clean_stack, "head")
    assert late[0].wait(5) == -signal.SIGKILL
    assert cgroups.traces(clean_stack) == []


def test_a_machine_outlives_the_process_that_made_it(network: dict[str, Any], debian: str) -> None:
    inputs = machine_inputs(network, debian, "head", 10)
    script = (
        "import os, signal; from infra.provider.machine import Machine\n"
        f"Machine().create({inputs!r}, lambda s: None); os.killpg(0, signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], start_new_session=True, check=False)
    assert container.is_running("t-mach", "head")
    assert read_drift(inputs) == []


def test_two_stacks_live_side_by_side(network: dict[str, Any], debian: str) -> None:
    other = "t-mach2"
    try:
        second = Network().create(network_inputs(other, "10.97.1"), quiet)[1]
        machines = create_all([machine_inputs(n, debian, "head", 10) for n in (network, second)])
        assert [ssh.run(ssh.Login.of(m), "hostname -I").split()[0] for m in machines] == [
            "10.97.0.10",
            "10.97.1.10",
        ]
        delete_all(machines[1:])
        assert read_drift(machines[0]) == []
    finally:
        leftovers.clear(other, quiet)
    assert leftovers.list_traces(other) == []
    assert read_drift(machines[0]) == []


def test_another_host_key_is_not_believed(network: dict[str, Any], debian: str) -> None:
    (machine,) = create_all([machine_inputs(network, debian, "head", 10)])
    Path(machine["known_hosts"]).write_text(f"10.97.0.10 {' '.join(Path(key()).read_text().split()[:2])}\n")
    with pytest.raises(ProviderError, match="SSH failed"):
        ssh.run(ssh.Login.of(machine), "true")


def test_a_network_in_the_way_is_named(clean_stack: str) -> None:
    taken = next(i for i in interfaces.interfaces().values() if i.addresses and i.name != "lo")
    address = taken.addresses[0]
    inputs = {
        **network_inputs(clean_stack, "10.97.0"),
        "cidr": str(address.network),
        "gateway": str(address.ip),
    }
    with pytest.raises(ProviderError, match=f"interface {taken.name}"):
        Network().create(inputs, quiet)
    assert leftovers.list_traces(clean_stack) == []


def test_a_networks_drift_is_told_and_mended(network: dict[str, Any]) -> None:
    routes = [{"to": "10.98.1.0/24", "via": "10.97.0.11"}]
    inputs = {**network, "routes": routes}
    state = Network().update("", network, network, inputs, quiet)
    subprocess.run(["ip", "route", "delete", "10.98.1.0/24"], check=True)
    found = Network().read("", inputs, state, quiet)
    assert found is not None
    assert found[2]["drift"] == ["route 10.98.1.0/24 via 10.97.0.11: missing"]
    state = Network().update("", inputs, found[2], inputs, quiet)
    interfaces.delete(network["bridge"])
    found = Network().read("", inputs, state, quiet)
    assert found is not None
    assert found[2]["drift"] == ["bridge br-t-mach: missing"]
    state = Network().update("", inputs, found[2], inputs, quiet)
    found = Network().read("t-mach/br-t-mach", {}, {}, quiet)
    assert found is not None
    assert found[1]["routes"] == routes


def key() -> str:
    """A host key that is not the machine's."""
    return str(paths.ssh_key("t-mach").with_suffix(".pub"))


def _is_nspawn(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "systemd-nspawn"
    except OSError:
        return False
