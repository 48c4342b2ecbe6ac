#!/usr/bin/python
"""The key with which the API server encrypts Secrets in etcd: made on the head, and made anew in time."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
import secrets
import ssl
import tempfile
import time
import urllib.request
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: encryption_keys
short_description: EncryptionConfiguration of the API server, with rotation
description:
  - present makes the file with a key where there is none. Where etcd holds data already, which is in plain
    text, that can be read still.
  - current goes on from there. A key that is too old, or whose rotation was asked for by a file "rotate" in
    the folder, gets a successor in front of it; then all Secrets are written anew; then what is not needed
    to read them goes. Each step is seen in the file, so that a cut run is taken up where it was.
  - The file is root's alone, and the key is in nothing that the module says.
options:
  state: {description: What to do., type: str, choices: [present, current], required: true}
  folder: {description: "Folder of the file, config.yaml.", type: path, required: true}
  etcd: {description: Folder of etcd's data., type: path, default: /var/lib/etcd}
  kubectl: {description: The kubectl program (current)., type: path}
  days: {description: Age at which a key is replaced., type: int, default: 90}
  timeout: {description: Seconds for the API server to take up a changed file., type: int, default: 150}
"""

EXAMPLES = r"""
- name: Have a key
  encryption_keys:
    state: present
    folder: /etc/kubernetes/encryption
"""

RETURN = r"""
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""

FILE, ROTATE = "config.yaml", "rotate"
PKI = "/etc/kubernetes/pki"
RESOURCES = ["secrets"]
NAME = "key-%Y%m%dt%H%M%Sz"
"""A key's name says when it was made."""
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
KUBECONFIG = "/etc/kubernetes/admin.conf"
LOADED = re.compile(
    r'^apiserver_encryption_config_controller_last_config_info\{.*hash="sha256:([0-9a-f]+)"', re.M
)

Config = dict[str, Any]


def new_key(now: datetime.datetime) -> dict[str, str]:
    """A key of 32 bytes, as secretbox (XSalsa20 and Poly1305) takes it."""
    return {"name": now.strftime(NAME), "secret": base64.b64encode(secrets.token_bytes(32)).decode()}


def config_of(keys: list[dict[str, str]], plain: bool) -> Config:
    """The file's document: the first key writes, all read, and with ``plain`` so does no encryption. Pure."""
    providers: list[Config] = [{"secretbox": {"keys": keys}}]
    providers += [{"identity": {}}] if plain else []
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": RESOURCES, "providers": providers}],
    }


def keys_of(config: Config) -> list[dict[str, str]]:
    """The keys, the one that writes first. Pure."""
    keys: list[dict[str, str]] = config["resources"][0]["providers"][0]["secretbox"]["keys"]
    return keys


def reads_plain(config: Config) -> bool:
    """Whether what is not encrypted is read too. Pure."""
    return any("identity" in provider for provider in config["resources"][0]["providers"])


def age_days(key: dict[str, str], now: datetime.datetime) -> int:
    """Whole days since the key was made, as its name says. Pure."""
    made = datetime.datetime.strptime(key["name"], NAME).replace(tzinfo=datetime.timezone.utc)  # noqa: UP017
    return (now - made).days


def findings(config: Config, now: datetime.datetime, days: int, asked: bool) -> list[str]:
    """What is to be done, one line each; empty when one key of a good age is all there is. Pure."""
    keys, found = keys_of(config), []
    age = age_days(keys[0], now)
    if len(keys) == 1 and (age >= days or asked):
        found.append(
            "encryption key: its rotation was asked for" if asked else f"encryption key: {age} days old"
        )
    if len(keys) > 1:
        found.append("encryption key: the old one can still be read with")
    if reads_plain(config):
        found.append("encryption: what is in plain text can still be read")
    return found


def read(path: str) -> Config:
    """The file's document (JSON, which is YAML)."""
    with open(path, encoding="ascii") as file:
        config: Config = json.load(file)
    return config


def write(path: str, config: Config) -> None:
    """Write the file for root alone, all of it or nothing."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".antenna-")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(config, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def kubectl(module: AnsibleModule, *arguments: str, data: str | None = None) -> str:
    """Output of one kubectl call; a failure is the module's, without what was given to it."""
    command = [module.params["kubectl"], "--kubeconfig", KUBECONFIG, *arguments]
    code, out, err = module.run_command(command, data=data)
    if code:
        module.fail_json(msg=f"kubectl {' '.join(arguments[:2])}: {str(err).strip()[-400:]}")
    return str(out)


def await_loaded(module: AnsibleModule, path: str) -> None:
    """Wait until the API server goes by the file as it is now; it looks once a minute."""
    with open(path, "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    deadline = time.monotonic() + module.params["timeout"]
    while wanted not in LOADED.findall(kubectl(module, "get", "--raw=/metrics")):
        if time.monotonic() > deadline:
            module.fail_json(msg=f"the API server did not take up {path} within {module.params['timeout']} s")
        time.sleep(2)


def rewrite(module: AnsibleModule) -> None:
    """Have every Secret written with the key that writes now. Nothing in them changes.

    One that somebody else changes meanwhile is written by that, with the same key, and is refused here.
    """
    listed = kubectl(module, "get", "secrets", "--all-namespaces", "--output=json")
    if not json.loads(listed)["items"]:
        return
    command = [module.params["kubectl"], "--kubeconfig", KUBECONFIG, "replace", "-f", "-", "--output=name"]
    code, _, err = module.run_command(command, data=listed)
    lines = [line for line in str(err).splitlines() if line.strip()]
    harmless = ("Conflict", "the object has been modified", "NotFound", "not found")
    wrong = [line for line in lines if not any(word in line for word in harmless)]
    if code and wrong:
        module.fail_json(msg=f"Secrets could not be written anew: {wrong[-1][:300]}")


def etcd(module: AnsibleModule, call: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call of etcd's API, as the API server (https://etcd.io/docs/latest/dev-guide/api_grpc_gateway/)."""
    context = ssl.create_default_context(cafile=f"{PKI}/etcd/ca.crt")
    context.load_cert_chain(f"{PKI}/apiserver-etcd-client.crt", f"{PKI}/apiserver-etcd-client.key")
    url = f"https://127.0.0.1:2379/v3/{call}"
    request = urllib.request.Request(url, data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=120, context=context) as answer:  # noqa: S310 (https)
            told: dict[str, Any] = json.load(answer)
            return told
    except OSError as error:
        module.fail_json(msg=f"etcd: {call}: {error}")
    return {}


def forget_plain(module: AnsibleModule) -> None:
    """Have etcd's database forget what was there before, and the room in which it was."""
    revision = etcd(module, "kv/range", {"key": base64.b64encode(b"compact_rev_key").decode()})
    etcd(module, "kv/compaction", {"revision": revision["header"]["revision"], "physical": True})
    etcd(module, "maintenance/defragment", {})


def is_in_use() -> bool:
    """Whether an API server of this machine encrypts already."""
    if not os.path.exists(MANIFEST):
        return False
    with open(MANIFEST, encoding="utf-8") as file:
        return "--encryption-provider-config=" in file.read()


def bring(module: AnsibleModule, path: str, now: datetime.datetime, asked: bool) -> list[str]:
    """Take the file to one key of a good age and nothing else; what was to be done."""
    config = read(path)
    found = findings(config, now, module.params["days"], asked)
    if not found or module.check_mode:
        return found
    keys = keys_of(config)
    if len(keys) == 1 and (asked or age_days(keys[0], now) >= module.params["days"]):
        write(path, config_of([new_key(now), *keys], reads_plain(config)))
    marker = os.path.join(module.params["folder"], ROTATE)
    if os.path.exists(marker):
        os.unlink(marker)
    await_loaded(module, path)
    rewrite(module)
    if reads_plain(config):
        forget_plain(module)
    write(path, config_of(keys_of(read(path))[:1], plain=False))
    await_loaded(module, path)
    return found


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "current"], "required": True},
            "folder": {"type": "path", "required": True},
            "etcd": {"type": "path", "default": "/var/lib/etcd"},
            "kubectl": {"type": "path"},
            "days": {"type": "int", "default": 90},
            "timeout": {"type": "int", "default": 150},
        },
        required_if=[("state", "current", ("kubectl",))],
        supports_check_mode=True,
    )
    now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017 (machines may have an older Python)
    folder = module.params["folder"]
    path = os.path.join(folder, FILE)
    if module.params["state"] == "present":
        changes = [] if os.path.exists(path) else [f"{path}: missing"]
        if changes and is_in_use():
            module.fail_json(
                msg=f"{path} is gone, and Secrets cannot be read without it: bring it back from a backup"
            )
        if changes and not module.check_mode:
            holds_data = os.path.exists(os.path.join(module.params["etcd"], "member"))
            write(path, config_of([new_key(now)], plain=holds_data))
    elif os.path.exists(path):
        changes = bring(module, path, now, os.path.exists(os.path.join(folder, ROTATE)))
    else:
        changes = [f"{path}: missing"]
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
