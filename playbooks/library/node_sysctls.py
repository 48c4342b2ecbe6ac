#!/usr/bin/python
"""Kernel settings of one machine, now and after a boot."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_sysctls
short_description: Kernel settings, live
description:
  - Compares the running kernel's settings with the declared ones and sets those that differ. The file that
    sets them at boot is written by node_files.
options:
  values:
    description: Setting to value, the setting with dots as in sysctl(8).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Forward packets
  node_sysctls:
    values: {net.ipv4.ip_forward: 1}
"""

RETURN = r"""
changes:
  description: One line a difference.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={"values": {"type": "dict", "required": True}}, supports_check_mode=True
    )
    changes = []
    for name, declared in sorted(module.params["values"].items()):
        path = os.path.join("/proc/sys", name.replace(".", "/"))
        if not os.path.exists(path):
            module.fail_json(msg=f"{name}: this kernel has no such setting")
        with open(path, encoding="ascii") as file:
            found = " ".join(file.read().split())
        if found == str(declared):
            continue
        changes.append(f"sysctl {name}: {found}, declared {declared}")
        if not module.check_mode:
            try:
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"{declared}\n")
            except OSError as error:
                module.fail_json(msg=f"sysctl {name}={declared}: {error}")
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
