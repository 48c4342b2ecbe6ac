"""Kernel settings of one machine, now and after a boot."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def mend_sysctls(module: AnsibleModule, values: dict[str, Any]) -> list[str]:
    """Set the kernel's settings that differ; a line for each. The file that does so at boot is another's."""
    changes = []
    for name, declared in sorted(values.items()):
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
    return changes
