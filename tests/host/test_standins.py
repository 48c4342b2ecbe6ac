"""A machine that plays LUMI: a real Slurm with the site's own limits, and SSH through its tunnel alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.paths import site_file
from infra.provider import base, leftovers, link, ssh, tunnel
from infra.provider.link import Link
from infra.provider.network import Network
from infra.provider.playbook import Playbook
from infra.sitefile import read
from tests.host.conftest import create_all, machine_inputs, network_inputs, quiet

pytestmark = pytest.mark.skipif(
    not os.environ.get("ANTENNA_TEST_REMOTE"), reason="a stand-in takes a minute: ANTENNA_TEST_REMOTE=1"
)

STACK, PREFIX = "t-stand", "10.97.6"
NEAR, FAR = "10.97.7.1", "10.97.7.2"
PROJECT, OTHER = "project_465000001", "project_465000002"
GRANT = {"amount": 100, "unit": "gpu-hours", "start": "2026-01-01", "end": "2036-12-31"}


@dataclass
class Lumi:
    """The stand-in, the gateway that the tunnel comes from, and the key of a project there."""

    gateway: dict[str, Any]
    machine: dict[str, Any]
    play: dict[str, Any]

    def root(self, command: str, timeout: float = 60) -> str:
        return ssh.run(ssh.Login.of(self.machine), command, timeout=timeout)

    def on_gateway(self, command: str, timeout: float = 60) -> str:
        return ssh.run(ssh.Login.of(self.gateway), command, timeout=timeout)

    def user(self, command: str, project: str = "imec", timeout: float = 90) -> str:
        """As a project's login, from the gateway through the tunnel, over one connection."""
        options = f"-o BatchMode=yes -S /root/site-{project}"
        told = command.replace("'", "'\\''")
        return self.on_gateway(f"ssh {options} {project}@{FAR} '{told}'", timeout=timeout)


@pytest.fixture(scope="module")
def lumi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lumi]:
    leftovers.clear(STACK, quiet)
    base.ensure(quiet, base.site_digest())
    network = Network().create(network_inputs(STACK, PREFIX), quiet)[1]
    gateway, machine = create_all(
        [
            machine_inputs(network, base.digest(), "head", 10),
            machine_inputs(network, base.site_digest(), "lumi", 20),
        ]
    )
    key = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    entry = next(s for s in read(site_file("example-site"))["sites"] if s["name"] == "lumi")
    variables = {
        "antenna_site": entry,
        "antenna_site_accounts": [
            {"project": PROJECT, "user": "imec", "keys": [public], "grants": [GRANT]},
            {"project": OTHER, "user": "ulb", "keys": [public], "grants": []},
        ],
        "antenna_site_tunnels": [tunnel.interface("lumi", slot) for slot in tunnel.SLOTS],
        "antenna_site_udp_ports": [51820, 51821],
        "antenna_site_management": [network["gateway"]],
    }
    host = {"user": "root", "port": 22}
    known = " ".join(machine["host_key"].split()[:2])
    logins = [{"tenant": "imec", "user": "imec"}, {"tenant": "vrije", "user": "ulb"}]
    access = {"name": "lumi", "user": "antenna", "key_type": "ed25519", "logins": logins}
    keeps = {"antenna_remote_access": [{**access, "known_hosts": [f"{FAR} {known}"]}]}
    hosts = {
        "head": {**host, "address": gateway["address"], "groups": ["head"], "vars": keeps},
        "lumi": {**host, "address": machine["address"], "groups": ["site"], "vars": variables},
    }
    reached = {name: machine[name] for name in ("identity_file", "known_hosts")}
    play = {"stack": STACK, "playbook": "sites.yml", "hosts": hosts, "vars": {}, "digest": "", **reached}
    # A head has its end of the tunnel from the run over the nodes; this one is no node.
    end = {**hosts["head"], "groups": ["site", "gateway"], "vars": {}}
    Playbook().create({**play, "hosts": {"head": end}}, quiet)
    Playbook().create(play, quiet)
    ends = {
        side: {k: m[k] for k in link.MACHINE_KEYS}
        for side, m in zip(tunnel.SIDES, (gateway, machine), strict=True)
    }
    inputs = {"stack": STACK, "name": "lumi", **ends, "gateway_address": NEAR, "endpoint_address": FAR}
    Link().create({**inputs, "port": 51820, "keepalive_seconds": 5, "mtu": 1380, "ports": [22]}, quiet)
    found = Lumi(gateway, machine, play)
    ssh.run(ssh.Login.of(gateway), "umask 077; cat > /root/site-key", stdin=key.read_text())
    found.on_gateway(
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -i /root/site-key -MNf "
        f"-S /root/site-imec imec@{FAR} </dev/null >/dev/null 2>&1"
    )
    yield found
    leftovers.clear(STACK, quiet)
    assert leftovers.list_traces(STACK) == []


def test_a_second_run_changes_nothing(lumi: Lumi) -> None:
    found = Playbook().read("", lumi.play, {}, quiet)
    assert found is not None
    assert found[2]["drift"] == []
    recap = Playbook().create(lumi.play, quiet)[1]["recap"]
    assert [row["changed"] for row in recap.values()] == [0, 0]
    assert lumi.root("systemctl list-units --failed --plain --no-legend") == ""


def test_it_has_the_sites_partitions_limits_and_gpus(lumi: Lumi) -> None:
    shown = lumi.user("sinfo -h -o '%R %l %s %D %G %h'").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in shown}
    assert rows["standard-g"] == ["2-00:00:00", "1-1K", "4", "gpu:8", "EXCLUSIVE"]
    assert rows["small-g"] == ["3-00:00:00", "1-4", "4", "gpu:8", "NO"]
    assert rows["dev-g"][0] == "3:00:00"
    assert rows["debug"][0] == "30:00"
    assert set(rows) == {"standard-g", "small-g", "dev-g", "standard", "small", "debug"}
    assert "210|200" in lumi.user("sacctmgr -nP show qos standard-g format=MaxSubmitPU,MaxJobsPU")


def test_a_job_runs_is_accounted_and_billed_in_the_real_tools_format(lumi: Lumi) -> None:
    submit = f"sbatch --parsable -A {PROJECT} -p {{}} --comment=mine --wait {{}} --wrap='sleep 2'"
    whole = int(lumi.user(submit.format("standard-g", "-N2 -t 5")))
    part = int(lumi.user(submit.format("small-g", "-N1 --gres=gpu:3 -c 8 -t 5")))
    query = "sacct -X -n -P -j {} -o State,Comment,AllocTRES"
    rows = {job: lumi.user(query.format(job)).strip().split("|") for job in (whole, part)}
    assert rows[whole][:2] == ["COMPLETED", "mine"]
    assert "gres/gpu=16" in rows[whole][2]
    assert "node=2" in rows[whole][2]
    assert "gres/gpu=3" in rows[part][2]
    lumi.root("systemctl start antenna-site-figures.service")
    told = lumi.user(f"lumi-allocations --project {PROJECT}").splitlines()
    assert told[0].startswith("Data updated: 20")
    assert [len(line) for line in told[1:]] == [133, 134, len(told[3])]
    assert told[3].startswith(f"{PROJECT}   |")
    assert "0/100   (0.0%) gpu/hours" in told[3]
    assert "0/0    (N/A) core/hours" in told[3]
    used = json.loads(lumi.root("cat /var/lib/antenna/standin/figures.json"))["used"][PROJECT]["gpu-hours"]
    seconds = {job: int(lumi.user(f"sacct -X -n -P -j {job} -o ElapsedRaw").strip()) for job in (whole, part)}
    assert sum(used.values()) == pytest.approx((4 * 2 * seconds[whole] + 0.5 * 3 * seconds[part]) / 3600)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (f"-A {OTHER} -p small-g -t 5", "invalid account"),
        (f"-A {PROJECT} -p small-g -t 4-0", "requested time limit is invalid"),
        (f"-A {PROJECT} -p dev-g -N 33 -t 5", "node"),
        (f"-A {PROJECT} -p large-g -t 5", "invalid partition"),
    ],
)
def test_what_the_site_would_refuse_is_refused(lumi: Lumi, options: str, said: str) -> None:
    assert said in lumi.user(f"sbatch {options} --wrap=true 2>&1 || true").lower()


def as_antenna(lumi: Lumi, stem: str, command: str) -> str:
    """As the Antenna's login of that stem, with the files that the head keeps; failures are told as well."""
    kept = f"/etc/antenna/remote/{stem}"
    options = f"-o BatchMode=yes -o UserKnownHostsFile=/etc/antenna/remote/lumi.known_hosts -i {kept}.key"
    return lumi.on_gateway(f"ssh {options} $(cat {kept}.user)@{FAR} '{command}' 2>&1 || true", timeout=90)


def test_the_antenna_has_a_login_a_partner_and_one_that_reads_and_submits_nothing(lumi: Lumi) -> None:
    kept = lumi.on_gateway("stat -c '%a %n' /etc/antenna/remote/*").split()
    names = {name.rpartition("/")[2]: mode for mode, name in zip(kept[::2], kept[1::2], strict=True)}
    stems = ("lumi", "lumi.imec", "lumi.vrije")
    assert set(names) == {
        "lumi.known_hosts",
        *(f"{stem}.{part}" for stem in stems for part in ("user", "key", "key.pub")),
    }
    assert {mode for name, mode in names.items() if name.endswith(".key")} == {"600"}
    keys = lumi.on_gateway("cat /etc/antenna/remote/*.pub").splitlines()
    assert len({key.split()[1] for key in keys}) == len(stems)
    logins = [as_antenna(lumi, stem, "id -un").strip() for stem in stems]
    assert logins == ["antenna", "imec", "ulb"]
    job = "-p small-g -t 5 --gres=gpu:1 --wrap=true --parsable"
    assert as_antenna(lumi, "lumi.imec", f"sbatch -A {PROJECT} {job}").strip().isdecimal()
    for stem, project in (("lumi", PROJECT), ("lumi", OTHER), ("lumi.imec", OTHER), ("lumi.vrije", PROJECT)):
        assert "invalid account" in as_antenna(lumi, stem, f"sbatch -A {project} {job}").lower()
    assert "imec" in as_antenna(lumi, "lumi", "squeue --states=all -h -o %u")


def test_homes_and_projects_directories_are_for_their_login_alone(lumi: Lumi) -> None:
    theirs = ["/home/ulb", *(f"/{kind}/{OTHER}" for kind in ("project", "scratch", "flash"))]
    for path in theirs:
        assert lumi.root(f"stat -c '%a %U' {path}").split() == ["700", "ulb"]
        assert as_antenna(lumi, "lumi.vrije", f"touch {path}/mine && ls {path}").split() == ["mine"]
        for stem in ("lumi.imec", "lumi"):
            assert "Permission denied" in as_antenna(lumi, stem, f"ls {path}")
            assert "Permission denied" in as_antenna(lumi, stem, f"touch {path}/theirs")


def test_ssh_is_open_through_the_tunnel_alone_and_not_too_often(lumi: Lumi) -> None:
    reach = "timeout 3 bash -c 'exec 3<>/dev/tcp/{}/22; head -c4 <&3' 2>/dev/null || true"
    assert lumi.on_gateway(reach.format(lumi.machine["address"])) == ""
    assert lumi.on_gateway(reach.format(FAR)) == "SSH-"
    many = (
        f"for i in $(seq 20); do timeout 1 bash -c '</dev/tcp/{FAR}/22' 2>/dev/null && echo yes; done; true"
    )
    assert lumi.on_gateway(many).count("yes") < 20
