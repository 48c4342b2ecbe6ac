#!/usr/bin/python
"""Pairs of SSH keys that are made on the machine that uses them, and never leave it."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: ssh_keys
short_description: Make pairs of SSH keys where they are missing, and tell the public halves
description:
  - A key that is there stays, whatever kind it is of. Somebody may have given it to a site's administrators.
  - All of them in one run, as a run of a module takes longer than making a key.
options:
  folder: {description: "Folder of the files, STEM.key and STEM.key.pub.", type: path, required: true}
  keys:
    description: The pairs; stem names the files, comment is what the public half ends with.
    type: list
    elements: dict
    required: true
    options:
      stem: {description: Name of the files., type: str, required: true}
      comment: {description: What the public half ends with., type: str, required: true}
      type: {description: The key's kind., type: str, choices: [ed25519, rsa-4096], default: ed25519}
"""

EXAMPLES = r"""
- name: Have a key for each login
  ssh_keys:
    folder: /etc/antenna/remote
    keys:
      - {stem: lumi.imec, comment: antenna@lumi.imec}
"""

RETURN = r"""
public: {description: "Public halves by stem, of those that are there.", type: dict, returned: always}
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""

KINDS = {"ed25519": ["-t", "ed25519"], "rsa-4096": ["-t", "rsa", "-b", "4096"]}


def keygen(module: AnsibleModule, path: str, *options: str) -> str:
    """Output of ssh-keygen about the key at a path; its failure is the module's."""
    code, out, err = module.run_command(["ssh-keygen", *options, "-f", path])
    if code:
        module.fail_json(msg=f"{path}: ssh-keygen: {str(err).strip()[-400:]}")
    return str(out)


def make(module: AnsibleModule, path: str, key: dict[str, Any]) -> None:
    """One pair without a passphrase; ssh-keygen writes the private half for its owner alone."""
    keygen(module, path, "-q", *KINDS[key["type"]], "-N", "", "-C", key["comment"])


def tell(module: AnsibleModule, path: str) -> None:
    """Write the public half of a private one again."""
    public = keygen(module, path, "-y")
    with open(f"{path}.pub", "w", encoding="utf-8") as file:
        file.write(public)


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "keys": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,  # names of keys, not keys
                "options": {
                    "stem": {"type": "str", "required": True},
                    "comment": {"type": "str", "required": True},
                    "type": {"type": "str", "choices": list(KINDS), "default": "ed25519"},
                },
            },
        },
        supports_check_mode=True,
    )
    changes, public = [], {}
    for key in module.params["keys"]:
        path = os.path.join(module.params["folder"], f"{key['stem']}.key")
        if not os.path.exists(path):
            changes.append(f"{path}: missing")
            if not module.check_mode:
                make(module, path, key)
        elif not os.path.exists(f"{path}.pub"):
            changes.append(f"{path}.pub: missing")
            if not module.check_mode:
                tell(module, path)
        if os.path.exists(f"{path}.pub"):
            with open(f"{path}.pub", encoding="utf-8") as file:
                public[key["stem"]] = file.read().strip()
    module.exit_json(changed=bool(changes), changes=changes, public=public)


if __name__ == "__main__":
    main()
