"""LUMI and JUPITER beside the live site: links, the operator's way to them, work on all three, the ledger."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from infra import paths
from tests.live.site_under_test import SiteUnderTest, eventually

PARTITION = {"lumi": "small-g", "jupiter": "booster"}
PLAYED = tuple(PARTITION)
TENANTS = {"imec", "ku-leuven", "ugent", "ulb", "vib", "vub"}
ROUNDED = 1e-6  # hours: far less than a second of anything
SECONDS_AN_HOUR = 3600


def test_both_links_are_up_and_told_in_the_gateways_metrics(site: SiteUnderTest) -> None:
    links = {link["name"]: link for link in json.loads(site.antenna("links", "--json").stdout)["links"]}
    assert set(links) == set(PLAYED)
    assert all(link["up"] and not link["problem"] for link in links.values())
    address = next(m for m in site.machines if m["name"] == "head")["address"]

    def told() -> bool:
        text = site.on("head", f"curl -s http://{address}:9100/metrics")
        return all(f'antenna_link_up{{link="{name}"}} 1' in text for name in PLAYED)

    eventually("both links are up in the gateway's metrics", told)


def test_only_the_head_reaches_a_site_and_a_tenant_there_sees_its_own_project(site: SiteUnderTest) -> None:
    for name in PLAYED:
        host = next(s for s in site.config["config"]["site:sites"] if s["name"] == name)["access"]["host"]
        reach = f"timeout 3 bash -c '</dev/tcp/{host}/22' && echo yes || echo no"
        assert site.on("gpu-1", reach).strip() == "no"
        key = paths.remote_key(site.stack, name, "imec").read_text()
        site.on("head", f"umask 077; cat >/root/key <<'END'\n{key}END")
        ssh = f"ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -i /root/key imec@{host}"
        assert "idle" in site.on("head", f"{ssh} sinfo")
        submit = f"sbatch -A nobodys -p {PARTITION[name]} -t 5 --wrap=true"
        refused = site.on("head", f"{ssh} {submit} 2>&1 || true")
        assert "invalid account" in refused.lower(), refused
    site.on("head", "rm /root/key")


def test_the_operators_keys_are_in_its_secret_and_in_no_state_nor_log(site: SiteUnderTest) -> None:
    # The first lines are alike in all keys of the kind.
    key = site.on("head", "sed -n 4p /etc/antenna/remote/lumi.key").strip()
    assert len(key) > 60
    secret = site.get("secret", "-n", "antenna-system", "antenna-remote-credentials")["data"]
    tenants = site.config["config"]["site:tenants"]
    logins = {f"{a['site']}.{tenant['name']}" for tenant in tenants for a in tenant.get("allocations", ())}
    assert set(secret) == {f"{name}.known_hosts" for name in PLAYED} | {
        f"{login}.{part}" for login in {*PLAYED, *logins} for part in ("user", "key")
    }
    folder = paths.stack_dir(site.stack)
    kept = [p for p in folder.rglob("*") if p.is_file() and "machines" not in p.relative_to(folder).parts]
    assert len(kept) > 5
    assert [p for p in kept if key.encode() in p.read_bytes()] == []


def test_demo_runs_local_and_remote_work_and_the_ledger_is_right_to_the_second(site: SiteUnderTest) -> None:
    eventually(
        "both sites answer",
        lambda: all(
            {c["type"]: c["status"] for c in s["status"]["conditions"]}.get("Answers") == "True"
            for s in site.get("remotesites")["items"]
        ),
    )
    asked = ("--jobs", "5", "--remote-jobs", "18")
    shown = json.loads(site.antenna("demo", "--json", *asked).stdout)
    assert shown["jobs"] == shown["succeeded"] == 23
    assert set(shown["partners"]) >= TENANTS
    # The site's own accounting, and the rules by hand: LUMI bills whole nodes of standard-g with 4 GPU-hours
    # an hour and parts with half an hour of a GPU for each GCD; JUPITER a node with 288 core-hours.
    due: dict[tuple[str, str], Fraction] = {}
    for name in PLAYED:
        for account, partition, seconds, tres in _accounted(site, name):
            gpus = next((int(t.split("=")[1]) for t in tres.split(",") if t.startswith("gres/gpu=")), 0)
            nodes = next(int(t.split("=")[1]) for t in tres.split(",") if t.startswith("node="))
            cpus = next(int(t.split("=")[1]) for t in tres.split(",") if t.startswith("cpu="))
            by_hand = {
                "standard-g": 4 * nodes,
                "small-g": Fraction(1, 2) * max(gpus, -(-cpus // 8)),
                "booster": 288 * nodes,
            }[partition]
            cost = Fraction(by_hand * seconds, SECONDS_AN_HOUR)
            due[name, account] = due.get((name, account), Fraction(0)) + cost
    assert len(due) >= len(TENANTS)

    def the_same() -> bool:
        rows = json.loads(site.antenna("budget", "--json").stdout)["budgets"]
        used = {(row["site"], row["project"]): row["used"] for row in rows}
        return all(abs(float(amount) - used[key]) < ROUNDED for key, amount in due.items())

    eventually(f"the ledger has {due}", the_same, seconds=120)


def test_status_shows_the_three_sites_side_by_side(site: SiteUnderTest) -> None:
    rows = json.loads(site.antenna("status", "--json").stdout)["sites"]
    assert [row["name"] for row in rows] == ["local", "jupiter", "lumi"]
    assert all(row["usable"] for row in rows), rows
    assert rows[0]["gpus"] == 8


def test_a_site_in_maintenance_is_sent_nothing_until_it_is_over(site: SiteUnderTest, tmp_path: Path) -> None:
    script = tmp_path / "short.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    whose = ("--tenant", "ugent", "--site", "lumi", "--partition", "small-g", "--gpus", "1")
    site.antenna("maintenance", "lumi", "--for", "1h", "--because", "new switches")
    try:
        made = json.loads(site.antenna("submit", str(script), *whose, "--time", "5m", "--json").stdout)

        def why() -> str:
            return site.antenna("why", made["job"], "--tenant", "ugent").stdout

        eventually(
            "the job waits for the maintenance", lambda: "is in maintenance until" in why(), seconds=60
        )
        assert "new switches" in why()
        steps = json.loads(site.antenna("refresh", "--yes", "--json").stdout)["steps"]
        assert not [line for step in steps for line in step.get("drift") or []]
    finally:
        site.antenna("maintenance", "lumi", "--over")
    state = ("remotejobs", "-n", made["namespace"], made["job"])
    eventually("it runs", lambda: site.get(*state)["status"].get("state") == "succeeded", seconds=120)


@pytest.mark.skipif(
    not os.environ.get("ANTENNA_TEST_REMOTE"), reason="two rotations, a minute: ANTENNA_TEST_REMOTE=1"
)
def test_keys_are_rotated_and_nothing_is_left_to_do(site: SiteUnderTest) -> None:
    site.antenna("links", "rotate")
    assert site.changes() == {}
    assert site.changes("refresh") == {}


def _accounted(site: SiteUnderTest, name: str) -> list[tuple[str, str, int, str]]:
    """(account, partition, seconds, allocated TRES) of every job that the site ran."""
    told = site.on(name, "sacct -a -X -n -P -S 2026-01-01 -o Account,Partition,ElapsedRaw,AllocTRES,State")
    rows = [line.split("|") for line in told.splitlines()]
    assert all(row[4] == "COMPLETED" for row in rows), rows
    return [(account, partition, int(seconds), tres) for account, partition, seconds, tres, _ in rows]
