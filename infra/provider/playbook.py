"""One playbook run over a stack's machines, as a resource: what it would do goes in, its recap comes out."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from infra import paths
from infra.provider.kind import UNKNOWN, Diff, ProviderError, Report, changed
from playbooks.digest import FOLDER
from playbooks.inventory import head
from playbooks.process import Outcome, PlaybookError, Run, drift, failure

REQUIRED = ("stack", "playbook", "hosts", "vars", "digest", "identity_file", "known_hosts")
PLAYBOOKS = ("playbook", "remove", "reset")
CLUSTER = ("site.yml", "remove_node.yml", "reset.yml")
"""The plays of the machines that are one cluster."""
HOST_KEYS = ("address", "user", "port", "groups", "vars")
LEAVING = "antenna_leaving"
KUBECONFIG = "antenna_kubeconfig"
LEAST_LEFT = timedelta(days=7)
"""What an administrator's certificate must be good for still; the role gives it twice that."""


class Playbook:
    """Inputs: stack, playbook, hosts, vars, digest, identity_file, known_hosts; playbooks remove, reset.

    ``hosts`` maps a name to {address, user, port, groups, vars}. ``remove`` is run for hosts that left
    the map, on those that stay, before anything else; ``reset`` when the resource is deleted. Outputs:
    the inputs, recap {host: {ok, changed, failed, unreachable, skipped}} and drift.
    """

    token = "antenna:index:Playbook"  # noqa: S105 - Pulumi's word for a type's name

    def check(self, inputs: dict[str, Any]) -> list[tuple[str, str]]:
        """Missing inputs, playbooks that do not exist, hosts that are not reachable by what is given."""
        failures = [(name, "is required") for name in REQUIRED if inputs.get(name) is None]
        for name in PLAYBOOKS:
            value = inputs.get(name)
            if isinstance(value, str) and not (FOLDER / value).is_file():
                failures.append((name, f"there is no playbook {value!r}"))
        hosts = inputs.get("hosts")
        if not isinstance(hosts, dict):
            return failures
        for name, host in sorted(hosts.items()):
            if isinstance(host, dict):
                failures += [(f"hosts.{name}", f"needs {key}") for key in HOST_KEYS if host.get(key) is None]
        if not failures and UNKNOWN not in hosts.values():
            try:
                head(hosts)
            except ValueError as error:
                failures.append(("hosts", str(error)))
        return failures

    def diff(self, old_inputs: dict[str, Any], old_state: dict[str, Any], new_inputs: dict[str, Any]) -> Diff:
        """Any changed input means another run. So does a missing kubeconfig: this may be another host.

        One whose certificate ends soon is made anew in time, by whichever run is next.
        """
        old = old_inputs or {key: old_state[key] for key in new_inputs if key in old_state}
        changes = changed(old, new_inputs)
        detailed = {}
        hosts_before, hosts_now = old.get("hosts"), new_inputs["hosts"]
        if isinstance(hosts_before, dict) and isinstance(hosts_now, dict):
            detailed = compare_hosts(hosts_before, hosts_now)
        if old_state.get("drift") or kubeconfig_fault(new_inputs):
            changes.append("drift")
        return Diff(changes, [name for name in changes if name == "stack"], detailed=detailed)

    def create(self, inputs: dict[str, Any], report: Report) -> tuple[str, dict[str, Any]]:
        """Run it. Raises ProviderError naming host, task and reason; a second create goes on from there."""
        outcome = run(inputs, inputs["playbook"], report)
        return f"{inputs['stack']}/{Path(inputs['playbook']).stem}", outputs(inputs, outcome)

    def read(
        self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report
    ) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Run it in check mode: what it would change is drift, and so is a host that does not answer.

        Raises ProviderError on import, where the machines it is for are not known.
        """
        if not inputs:
            raise ProviderError(
                f"{id}: a playbook run cannot be imported; `up` runs it, safely on any machine"
            )
        try:
            outcome = start(inputs, inputs["playbook"], report, check=True)
        except PlaybookError as error:
            return id, inputs, {**state, "drift": [str(error)]}
        lines = drift(outcome)
        if (wrong := kubeconfig_fault(inputs)) and not lines:
            lines = [f"{inputs['vars'][KUBECONFIG]}: {wrong}"]
        return id, inputs, {**state, "drift": lines}

    def update(
        self,
        id: str,
        old_inputs: dict[str, Any],
        old_state: dict[str, Any],
        new_inputs: dict[str, Any],
        report: Report,
    ) -> dict[str, Any]:
        """Take leaving hosts out of the cluster, drained; then run it on those that stay."""
        leaving = sorted(old_inputs.get("hosts", {}).keys() - new_inputs["hosts"].keys())
        if leaving and new_inputs.get("remove"):
            extra = {LEAVING: [{"name": name} for name in leaving]}
            run(new_inputs, new_inputs["remove"], report, extra)
        return outputs(new_inputs, run(new_inputs, new_inputs["playbook"], report))

    def delete(self, id: str, inputs: dict[str, Any], state: dict[str, Any], report: Report) -> None:
        """Give the machines back as they were, if a playbook for that is named."""
        source = inputs or state
        if reset := source.get("reset"):
            run(source, reset, report)


def run(
    inputs: dict[str, Any], playbook: str, report: Report, extra: dict[str, Any] | None = None
) -> Outcome:
    """Run a playbook for its effect; raises ProviderError when a host failed."""
    try:
        outcome = start(inputs, playbook, report, extra=extra)
    except PlaybookError as error:
        raise ProviderError(str(error)) from None
    if outcome.failed:
        raise ProviderError(failure(outcome))
    return outcome


def start(
    inputs: dict[str, Any],
    playbook: str,
    report: Report,
    *,
    check: bool = False,
    extra: dict[str, Any] | None = None,
) -> Outcome:
    """Run a playbook over the hosts of the inputs."""
    stack = inputs["stack"]
    return Run(
        playbook=playbook,
        hosts=inputs["hosts"],
        variables=inputs["vars"],
        identity_file=inputs["identity_file"],
        known_hosts=inputs["known_hosts"],
        state_dir=state_dir(stack, inputs["playbook"]),
        log_dir=paths.logs(stack),
        check=check,
        extra=extra or {},
    ).start(report)


def state_dir(stack: str, playbook: str) -> Path:
    """Where a run keeps its inventory: each resource's own, since two may run side by side."""
    folder = paths.stack_dir(stack) / "ansible"
    return folder if playbook in CLUSTER else folder / Path(playbook).stem


def outputs(inputs: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """What the state keeps of a run."""
    return {**inputs, "recap": outcome.recap, "drift": []}


def compare_hosts(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """Which hosts join, leave or change, as paths of a detailed diff. Pure."""
    return {
        **{f"hosts.{name}": "add" for name in sorted(new.keys() - old.keys())},
        **{f"hosts.{name}": "delete" for name in sorted(old.keys() - new.keys())},
        **{f"hosts.{name}": "update" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]},
    }


def kubeconfig_fault(inputs: dict[str, Any]) -> str:
    """Why the administrator's credentials on this host are not good for long; empty when they are.

    An earlier run wrote them, maybe on another host.
    """
    variables = inputs.get("vars")
    path = variables.get(KUBECONFIG) if isinstance(variables, dict) else None
    if not isinstance(path, str):
        return ""
    if not Path(path).exists():
        return "missing"
    try:
        user = yaml.safe_load(Path(path).read_text())["users"][0]["user"]
        certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError, binascii.Error):
        return ""  # a person's own; the role says what is wrong with it
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return "" if left > LEAST_LEFT else f"its certificate ends in {left.days} days"
