"""Partners' people: they log in at a real OpenID provider, and a real API server says what they may.

The operator runs as it is deployed; each person runs `antenna` with a home of their own and nothing of the
administrator's.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from infra import quotas
from infra.authentication import authentication_configuration
from infra.cli import main
from infra.cli.checks import gather
from infra.cli.people import oidc
from infra.cli.views.audit import deeds
from infra.paths import REPOSITORY
from infra.site import Site, parse_site
from operators.api import API_VERSION
from operators.api.names import REMOTE_JOB
from operators.api.tenant import tenant_object
from operators.kube.client import connect
from operators.queues import cohort_objects
from tests.cluster.deployed import DeployedOperator, deployed_arguments, install
from tests.cluster.issuer import issuer
from tests.cluster.light import light_cluster
from tests.cluster.patience import eventually
from tests.cluster.tenant_controller import is_ready, train
from tests.ports import free_ports
from tests.unit.site_examples import DROP, EXISTING, edited

pytestmark = pytest.mark.light

STACK = "people"
LASTS, SHORT = 1800, 5
"""Seconds that a token lasts, of the site's provider and of one more that the API server believes."""
PEOPLE = {
    "ann": ("ulb",),
    "abe": ("ulb",),
    "eva": ("imec",),
    "both": ("imec", "ulb"),
    "guest": ("guests",),
    # What a provider must not be able to say of anybody.
    "mallory": ("system:masters", "kubeadm:cluster-admins", "oidc:ulb"),
}
POLICY = REPOSITORY / "playbooks/roles/kubernetes/files/audit-policy.yaml"


@dataclass(frozen=True)
class World:
    """What is up: the cluster and its administrator, the provider, the site's file."""

    admin: object
    api: object
    issuer: object
    short: object
    site: Site
    log: Path
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    ports = free_ports(2)
    log = folder / "audit.log"
    clients = ["antenna", "another"]
    with (
        issuer(folder / "issuer", ports[0], PEOPLE, seconds=LASTS, clients=clients) as provider,
        issuer(folder / "short", ports[1], PEOPLE, seconds=SHORT, clients=clients) as short,
    ):
        site = described(folder, provider)
        configuration = authentication_configuration(site)
        configuration["jwt"] += authentication_configuration(described(folder / "short", short))["jwt"]
        (folder / "authentication.yaml").write_text(yaml.safe_dump(configuration))
        flags = {
            "authentication-config": str(folder / "authentication.yaml"),
            "audit-policy-file": str(POLICY),
            "audit-log-path": str(log),
        }
        (folder / "light").mkdir()
        with light_cluster(folder / "light", api_server=flags) as up, closing(connect(up.kubeconfig)) as api:
            yield World(up, api, provider, short, site, log, folder)


def described(folder, provider):
    """The site that names this provider; its file is in ``folder``."""
    stated = {"issuer": provider.url, "certificate_authority": provider.authority}
    keys = edited(EXISTING, ("sites", DROP), ("tenants[0].allocations", DROP), ("authentication", stated))
    file = folder / f"Pulumi.{STACK}.yaml"
    file.write_text(yaml.safe_dump({"config": {f"site:{k}": v for k, v in keys.items()}}))
    return parse_site(keys, file.name)


@pytest.fixture(scope="module")
def partners(world):
    """The operator, and the partners that it made from Tenants as `up` declares them."""
    install(world.admin, world.api, [tenant.name for tenant in world.site.tenants])
    cohort = quotas.cohort(world.site)
    (world.folder / "operator").mkdir()
    operator = DeployedOperator(world.admin, world.folder / "operator", deployed_arguments())
    operator.start()
    try:
        for obj in cohort_objects(cohort):
            world.api.apply(obj, manager="test")
        for tenant in world.site.tenants:
            world.api.apply(tenant_object(quotas.partner(world.site, tenant), cohort), manager="test")
        for tenant in world.site.tenants:
            eventually(lambda tenant=tenant: is_ready(world.api, tenant.name))
        yield world
    finally:
        operator.stop()


class Person:
    """Somebody at a host of their own."""

    def __init__(self, world, name, *, short=False):
        self.world, self.name = world, name
        self.issuer = world.short if short else world.issuer
        self.home = world.folder / (f"short-{name}" if short else f"home-{name}")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANTENNA_", "KUBECONFIG"))}
        clean |= {key: os.environ[key] for key in ("ANTENNA_CACHE",) if key in os.environ}
        self.environment = {
            **clean,
            "ANTENNA_HOME": str(self.home),
            "ANTENNA_STACK": STACK,
            "ANTENNA_CONFIG_FILE": str(world.folder / ("short" if short else "") / f"Pulumi.{STACK}.yaml"),
        }
        self.kubeconfig = self.home / STACK / "login" / "kubeconfig"

    def log_in(self, *options, said=None):
        """`antenna login` with somebody who opens the page that it names; the process when it has ended."""
        cluster = yaml.safe_load(self.world.admin.kubeconfig.read_text())["clusters"][0]["cluster"]
        authority = self.world.folder / "ca.crt"
        authority.write_bytes(authority_of(cluster))
        where = ("--server", cluster["server"], "--certificate-authority", str(authority))
        process = subprocess.Popen(
            self._argv("login", *where, *options),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        address = process.stdout.readline().split()[-1]
        page = self.issuer.log_in(address, self.name, said)
        if said is not None:
            process.terminate()
            process.wait(10)
            return page
        output = process.communicate(timeout=60)[0]
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def antenna(self, *words):
        done = CliRunner().invoke(main, list(words), env=self.environment)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def kubectl(self, *words):
        arguments = [self.world.admin.programs.kubectl, "--kubeconfig", self.kubeconfig, *words]
        return subprocess.run(arguments, env=self.environment, capture_output=True, text=True, check=False)

    def _argv(self, *words):
        return [sys.executable, "-c", "from infra.cli import main; main()", *words]


def authority_of(cluster):
    if "certificate-authority-data" in cluster:
        return base64.b64decode(cluster["certificate-authority-data"])
    return Path(cluster["certificate-authority"]).read_bytes()


@pytest.fixture(scope="module")
def ann(partners):
    return logged_in(partners, "ann")


@pytest.fixture(scope="module")
def eva(partners):
    return logged_in(partners, "eva")


def logged_in(world, name):
    person = Person(world, name)
    done = person.log_in()
    assert done.returncode == 0, done.stdout
    return person


@pytest.fixture(scope="module")
def jobs(partners):
    """Of each partner a job that runs, one that waits behind it, and a remote one that has printed."""
    made = {}
    for tenant in ("ulb", "imec"):
        made[tenant] = [train(partners.api, tenant, gpus=4)["metadata"]["name"] for _ in range(3)]
    return made


def token_of(world, name, client):
    """A token straight from the provider, for this client."""
    authority = world.folder / "issuer-ca.crt"
    authority.write_text(world.issuer.authority)
    provider = oidc.Provider(world.issuer.url, client, ("openid",), authority)
    code = oidc.begin(provider)
    world.issuer.log_in(code.uri, name)
    return oidc.wait(provider, code)


def asked_with(world, token):
    """What the API server says to who comes with it: the user's name, or the error."""
    done = kubectl_with(world, token, "auth", "whoami", "-o", "json")
    return done.stderr if done.returncode else json.loads(done.stdout)["status"]["userInfo"]["username"]


def kubectl_with(world, token, *words):
    """kubectl as whoever comes with the token."""
    config = yaml.safe_load(world.admin.kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = world.folder / "token.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    arguments = [world.admin.programs.kubectl, "--kubeconfig", path, *words]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_a_login_is_told_with_its_end_and_kept_for_its_owner_alone(ann):
    who = json.loads(ann.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert who["username"] == "oidc:ann"
    assert "oidc:ulb" in who["groups"]
    kept = [path for path in ann.kubeconfig.parent.iterdir() if path.name != "lock"]
    assert {path.name for path in kept} == {"kubeconfig", "tokens.json", "issuer.crt"}
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert ann.kubeconfig.parent.stat().st_mode & 0o777 == 0o700
    assert "eyJ" not in ann.kubeconfig.read_text(), "the token is not in the kubeconfig"


def test_a_wrong_password_gives_nothing(world):
    person = Person(world, "abe")
    assert "password is wrong" in person.log_in(said="not it")
    assert not person.kubeconfig.exists()


def test_the_doctor_says_whether_people_can_log_in(world):
    assert gather.people(world.site) == (world.issuer.url, "")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        away = f"https://127.0.0.1:{free.getsockname()[1]}"
    stated = world.site.authentication
    elsewhere = world.site.model_copy(update={"authentication": stated.model_copy(update={"issuer": away})})
    assert "does not answer" in gather.people(elsewhere)[1]
    strange = stated.model_copy(update={"certificate_authority": world.short.authority})
    strange = world.site.model_copy(update={"authentication": strange})
    assert "CERTIFICATE_VERIFY_FAILED" in gather.people(strange)[1]


def test_a_token_ends_and_the_kubeconfig_renews_it(partners):
    person = Person(partners, "ann", short=True)
    assert person.log_in().returncode == 0
    first, second = (json.loads(person.antenna("token").stdout)["status"]["token"] for _ in range(2))
    assert asked_with(partners, second) == "oidc:ann"
    # The first was never shown: the API server remembers what it took for ten seconds.
    time.sleep(SHORT + 1)
    assert "Unauthorized" in asked_with(partners, first)
    assert "oidc:ann" in person.kubectl("auth", "whoami").stdout


def test_a_token_for_another_client_is_refused(partners):
    assert asked_with(partners, token_of(partners, "ann", "antenna").identity) == "oidc:ann"
    assert "Unauthorized" in asked_with(partners, token_of(partners, "ann", "another").identity)


def test_whose_group_is_no_partners_is_told_so_and_may_nothing(partners):
    person = Person(partners, "guest")
    done = person.log_in()
    assert done.returncode == 2
    assert "oidc:guest belongs to no partner" in done.stdout
    assert not person.kubeconfig.exists(), "it would be taken in the administrator's place"
    token = token_of(partners, "guest", "antenna").identity
    assert "Forbidden" in kubectl_with(partners, token, "-n", "tenant-ulb", "get", "jobs").stderr


def test_a_provider_cannot_name_kubernetes_own_groups_or_another_prefix(partners):
    person = Person(partners, "mallory")
    assert person.log_in().returncode == 2
    token = token_of(partners, "mallory", "antenna").identity
    assert "Forbidden" in kubectl_with(partners, token, "get", "nodes").stderr
    assert "Forbidden" in kubectl_with(partners, token, "-n", "tenant-ulb", "get", "jobs").stderr


def test_who_belongs_to_two_partners_chooses(partners):
    person = Person(partners, "both")
    done = person.log_in()
    assert done.returncode == 2
    assert "belongs to imec, ulb" in done.stdout
    assert person.log_in("--tenant", "ulb").returncode == 0
    assert person.log_in("--tenant", "vub").returncode == 2


def test_submit_why_logs_and_budget_work_for_ones_own_partner(partners, ann, jobs, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/sh\necho done\n")
    done = ann.antenna("submit", str(script), "--time", "10m", "--gpus", "1", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["namespace"] == "tenant-ulb"
    tail = {"status": {"logTail": "epoch 1\n"}}
    where = (made["job"], made["namespace"])
    partners.api.patch(API_VERSION, REMOTE_JOB, *where, tail, subresource="status")
    assert ann.antenna("logs", made["job"]).stdout == "epoch 1\n"
    assert ann.antenna("why", made["job"]).returncode == 0

    found = {name: ann.antenna("why", name, "--json") for name in jobs["ulb"]}
    assert all(done.returncode == 0 for done in found.values()), found
    eventually(lambda: any(is_explained(ann, name) for name in jobs["ulb"]), 60)
    assert "did you mean" in ann.antenna("why", jobs["ulb"][0][:-1]).stderr

    eventually(lambda: ann.antenna("budget", "--json").returncode == 0, 60)
    rows = json.loads(ann.antenna("budget", "--json").stdout)["budgets"]
    assert {row["tenant"] for row in rows} == {"ulb"}
    assert "local" in {row["site"] for row in rows}


def is_explained(person, name):
    """Whether the operator has said why the job waits for quota."""
    told = json.loads(person.antenna("why", name, "--json").stdout)
    return told["reason"] in ("QuotaUsedUp", "BehindOthers") and "GPU" in told["text"]


@pytest.mark.parametrize("option", [("--tenant", "imec"), ("-n", "tenant-imec")])
def test_another_partners_jobs_cannot_be_asked_for(ann, jobs, option):
    done = ann.antenna("why", jobs["imec"][0], *option)
    assert done.returncode == 1
    assert "you may not" in done.stderr
    assert jobs["imec"][1] not in done.stderr


def test_nothing_of_another_partner_is_read_or_made(ann, jobs, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/sh\n")
    refused = [
        ann.antenna("submit", str(script), "--tenant", "imec", "--time", "10m"),
        ann.antenna("logs", jobs["imec"][0], "--tenant", "imec"),
        ann.antenna("logs", jobs["imec"][0]),
        ann.antenna("budget", "--tenant", "imec"),
    ]
    assert all(done.returncode in (1, 2) for done in refused), refused
    for kind in ("jobs", "pods", "secrets", "budgets.antenna.be", "remotejobs", "events", "workloads"):
        assert "Forbidden" in ann.kubectl("-n", "tenant-imec", "get", kind).stderr, kind
    for kind in ("budgets.antenna.be", "tenants", "clusterqueues", "nodes", "namespaces"):
        assert "Forbidden" in ann.kubectl("get", kind, "-A").stderr, kind


def test_nobody_writes_their_own_budget(ann):
    made = {"apiVersion": API_VERSION, "kind": "Budget", "metadata": {"name": "mine"}}
    body = ann.world.folder / "budget.json"
    body.write_text(json.dumps(made))
    assert "Forbidden" in ann.kubectl("create", "-f", str(body)).stderr
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": {"asOf": "x"}}))
    assert "Forbidden" in ann.kubectl("patch", "budget", "budget", *patch).stderr


def test_the_administrators_files_are_not_needed_and_a_logout_ends_it(partners):
    person = logged_in(partners, "abe")
    assert not (person.home / STACK / "kubeconfig").exists()
    assert person.antenna("budget").returncode == 0
    assert person.antenna("logout").returncode == 0
    assert not person.kubeconfig.exists()
    assert "nobody is logged in" in person.antenna("token").stderr
    assert person.antenna("why", "x").returncode == 1


def test_the_audit_log_says_who_did_what_to_a_partner(partners, ann, eva, jobs):
    assert eva.kubectl("delete", "job", jobs["imec"][2]).returncode == 0
    eva.kubectl("-n", "tenant-ulb", "get", "secrets")
    partners.admin.kubectl(
        "-n", "tenant-ulb", "create", "secret", "generic", "planted", "--from-literal=a=canary"
    )
    lines = partners.log.read_text().splitlines()
    ulb = [deed.sentence() for deed in deeds(lines, tenant="ulb")]
    assert "oidc:eva was refused to list secrets of ulb" in ulb
    assert any(line.startswith("oidc:ann made a remote job") for line in ulb), ulb
    assert any("made the secret planted of ulb" in line for line in ulb), ulb
    assert not any("of imec" in line for line in ulb)
    imec = [deed.sentence() for deed in deeds(lines, tenant="imec", person="eva")]
    assert f"oidc:eva deleted the job {jobs['imec'][2]} of imec" in imec
    assert all(line.startswith("oidc:eva ") for line in imec)
    everybody = deeds(lines, tenant="ulb", everybody=True)
    assert any(deed.user.startswith("system:serviceaccount:antenna-system") for deed in everybody)
    assert "canary" not in "\n".join(lines)
    shown = ann.antenna("audit", "--file", str(partners.log), "--tenant", "ulb", "--person", "eva")
    assert "oidc:eva was refused to list secrets of ulb" in shown.stdout
    assert "from 127.0.0.1" in shown.stdout
