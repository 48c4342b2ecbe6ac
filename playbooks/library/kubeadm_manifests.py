#!/usr/bin/python
"""The control plane's static pods, as kubeadm's configuration says they are."""

from __future__ import annotations

import glob
import json
import os
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kubeadm_manifests
short_description: Change a running control plane in place
description:
  - kubeadm renders the manifests that its configuration means; each is compared with the one in place, and
    only one that differs is replaced. One after the other, each waited for; one that does not come up is
    put back.
  - The data and the certificates are not touched.
options:
  kubeadm: {description: The kubeadm program., type: path, required: true}
  config: {description: "kubeadm's configuration, v1beta4.", type: list, elements: dict, required: true}
  timeout: {description: Seconds for a component to come up., type: int, default: 300}
"""

EXAMPLES = r"""
- name: Keep the control plane
  kubeadm_manifests:
    kubeadm: /opt/antenna/artifacts/bin/kubeadm
    config: "{{ kubernetes_init_config }}"
"""

RETURN = r"""
changes: {description: One line a manifest that differs., type: list, elements: str, returned: always}
"""

MANIFESTS = "/etc/kubernetes/manifests"
# What others stand on comes first. Where each says that it is well, as its own probe asks.
HEALTH = {
    "etcd": "http://127.0.0.1:2381/readyz",
    "kube-apiserver": "https://127.0.0.1:6443/readyz",
    "kube-controller-manager": "https://127.0.0.1:10257/healthz",
    "kube-scheduler": "https://127.0.0.1:10259/readyz",
}
STEADY_SECONDS = 3.0


def render(module: AnsibleModule, config: str, folder: str) -> dict[str, str]:
    """The manifests that the configuration means, by component; nothing outside the folder is touched."""
    for phase in (["control-plane", "all"], ["etcd", "local"]):
        command = [module.params["kubeadm"], "init", "phase", *phase, "--config", config, "--dry-run"]
        code, out, err = module.run_command(command, environ_update={"KUBEADM_INIT_DRYRUN_DIR": folder})
        if code:
            module.fail_json(msg=f"kubeadm init phase {' '.join(phase)}: {(err or out).strip()[-800:]}")
    return {name: read(os.path.join(folder, f"{name}.yaml")) for name in HEALTH}


def read(path: str) -> str:
    """The file's text; empty when there is none."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def arguments(manifest: str) -> set[str]:
    """The flags of a manifest's command, and its environment's values. Pure."""
    lines = (line.strip().removeprefix("- ") for line in manifest.splitlines())
    return {line for line in lines if line.startswith(("--", "value: "))}


def difference(name: str, found: str, wanted: str) -> str:
    """One line: which flags differ. Pure."""
    lacks, has = sorted(arguments(wanted) - arguments(found)), sorted(arguments(found) - arguments(wanted))
    parts = ([f"lacks {', '.join(lacks)}"] if lacks else []) + ([f"has {', '.join(has)}"] if has else [])
    return f"{name}: {'; '.join(parts) or 'its manifest differs'}"


def processes(name: str) -> set[int]:
    """The component's processes."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                program = file.read().split(b"\0")[0]
        except OSError:
            continue
        if os.path.basename(program).decode(errors="replace") == name:
            found.add(int(path.split("/")[2]))
    return found


def is_well(url: str) -> bool:
    """Whether the component says so. It is this machine's own, so its certificate proves nothing more."""
    try:
        with urllib.request.urlopen(url, timeout=3, context=ssl._create_unverified_context()) as answer:  # noqa: S310, S323
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def put(name: str, text: str) -> None:
    """Write the manifest in one step; the kubelet looks at no file whose name begins with a dot."""
    descriptor, temporary = tempfile.mkstemp(dir=MANIFESTS, prefix=".antenna-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, os.path.join(MANIFESTS, f"{name}.yaml"))


def comes_up(name: str, before: set[int], seconds: float) -> bool:
    """Whether another process of the component is there and stays well."""
    deadline, since = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        new = processes(name) - before
        if new and not processes(name) & before and is_well(HEALTH[name]):
            since = since or time.monotonic()
            if time.monotonic() - since > STEADY_SECONDS:
                return True
        else:
            since = None
        time.sleep(0.5)
    return False


def last_words(name: str) -> str:
    """The end of the newest log of the component."""
    logs = sorted(glob.glob(f"/var/log/pods/kube-system_{name}-*/{name}/*.log"), key=os.path.getmtime)
    return "\n".join(read(logs[-1]).splitlines()[-4:])[-800:] if logs else "it wrote no log"


def replace(module: AnsibleModule, name: str, found: str, wanted: str) -> None:
    """Change one component and wait for it; put it back when it does not come up."""
    before = processes(name)
    put(name, wanted)
    if comes_up(name, before, module.params["timeout"]):
        return
    words = last_words(name)
    if found:
        put(name, found)
    module.fail_json(msg=f"{name} did not come up with its new flags and was put back: {words}")


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "kubeadm": {"type": "path", "required": True},
            "config": {"type": "list", "elements": "dict", "required": True},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    folder = tempfile.mkdtemp(prefix="antenna-kubeadm-", dir="/run")
    changes = []
    try:
        config = os.path.join(folder, "config.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n---\n".join(json.dumps(document) for document in module.params["config"]))
        wanted = render(module, config, folder)
        for name in HEALTH:
            found = read(os.path.join(MANIFESTS, f"{name}.yaml"))
            if found == wanted[name]:
                continue
            changes.append(difference(name, found, wanted[name]))
            if not module.check_mode:
                replace(module, name, found, wanted[name])
        if changes and not module.check_mode:
            # Where the next `kubeadm upgrade` takes the flags from.
            upload(module, config)
    finally:
        shutil.rmtree(folder)
    module.exit_json(changed=bool(changes), changes=changes)


def upload(module: AnsibleModule, config: str) -> Any:
    """Keep the configuration in the cluster."""
    command = [module.params["kubeadm"], "init", "phase", "upload-config", "kubeadm", "--config", config]
    return module.run_command(command, check_rc=True)


if __name__ == "__main__":
    main()
