#!/usr/bin/python
"""A set of files, folders and links of one machine, compared and written in one go."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_files
short_description: A set of files, folders and links
description:
  - Brings every listed path to the declared content, mode and owner. One connection for the whole set,
    where ansible.builtin.template would take two a file.
  - The result names each difference, so that a check-mode run reads as a list of what has drifted.
options:
  files:
    description: The paths, each with one of content, block, link, directory or absent.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      content: {description: The whole content of the file., type: str}
      block: {description: Content of a marked block in a file that others write too., type: str}
      link: {description: Target of a symbolic link., type: str}
      directory: {description: The path is a folder., type: bool, default: false}
      absent: {description: The path must not exist (files and links only)., type: bool, default: false}
      mode: {description: 'Octal mode; 0644 for files and 0755 for folders.', type: str}
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group; the owner's by default., type: str}
      validate: {description: Command that must accept the new content; %s is its path., type: str}
"""

EXAMPLES = r"""
- name: Write the files of containerd
  node_files:
    files:
      - path: /etc/containerd/config.toml
        content: "{{ lookup('ansible.builtin.template', 'config.toml.j2') }}"
"""

RETURN = r"""
changes:
  description: One line a difference.
  type: list
  elements: str
  returned: always
"""

SUBOPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "block": {"type": "str"},
    "link": {"type": "str"},
    "directory": {"type": "bool", "default": False},
    "absent": {"type": "bool", "default": False},
    "mode": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str"},
    "validate": {"type": "str"},
}

BEGIN, END = "# antenna: begin", "# antenna: end"


def with_block(before: str, block: str) -> str:
    """The text with the marked block in it: in its old place, else at the end."""
    section = f"{BEGIN}\n{block.rstrip()}\n{END}\n"
    head, found, rest = before.partition(BEGIN + "\n")
    if not found:
        return before + ("" if not before or before.endswith("\n") else "\n") + section
    return head + section + rest.partition(END + "\n")[2]


def read_text(path: str) -> str | None:
    """The file's text; None when there is no such regular file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def write_text(module: AnsibleModule, entry: dict[str, Any], text: str) -> None:
    """Write beside the target, validate, then rename over it: never a half-written file."""
    path = entry["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".antenna-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        if entry["validate"]:
            code, out, err = module.run_command(entry["validate"] % temporary)
            if code:
                module.fail_json(msg=f"{path}: the new content is refused: {(err or out).strip()}")
        os.chmod(temporary, int(entry["mode"] or "0644", 8))
        os.replace(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def mend_attributes(entry: dict[str, Any], check: bool) -> list[str]:
    """Mode and owner of what exists."""
    path = entry["path"]
    found = os.stat(path)
    mode = int(entry["mode"] or ("0755" if entry["directory"] else "0644"), 8)
    account = pwd.getpwnam(entry["owner"])
    group = grp.getgrnam(entry["group"]).gr_gid if entry["group"] else account.pw_gid
    changes = []
    if stat.S_IMODE(found.st_mode) != mode:
        changes.append(f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, declared {mode:04o}")
    if (found.st_uid, found.st_gid) != (account.pw_uid, group):
        changes.append(f"{path}: owner {found.st_uid}:{found.st_gid}, declared {account.pw_uid}:{group}")
    if changes and not check:
        os.chown(path, account.pw_uid, group)
        os.chmod(path, mode)
    return changes


def mend(module: AnsibleModule, entry: dict[str, Any]) -> list[str]:
    """Bring one path to what is declared; the differences found."""
    path, check = entry["path"], module.check_mode
    if entry["absent"]:
        return mend_absent(path, check)
    if entry["link"] is not None:
        return mend_link(path, entry["link"], check)
    changes = mend_folder(path, check) if entry["directory"] else mend_content(module, entry)
    return changes + (mend_attributes(entry, check) if os.path.exists(path) else [])


def mend_absent(path: str, check: bool) -> list[str]:
    """Remove what is there."""
    if not os.path.lexists(path):
        return []
    if not check:
        os.unlink(path)
    return [f"{path}: present, declared absent"]


def mend_link(path: str, target: str, check: bool) -> list[str]:
    """Make the path a link to its target."""
    if os.path.islink(path) and os.readlink(path) == target:
        return []
    if not check:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)
    return [f"{path}: not a link to {target}"]


def mend_folder(path: str, check: bool) -> list[str]:
    """Make the folder, and those above it."""
    if os.path.isdir(path):
        return []
    if not check:
        os.makedirs(path, exist_ok=True)
    return [f"{path}: missing"]


def mend_content(module: AnsibleModule, entry: dict[str, Any]) -> list[str]:
    """Write the file, or its block, when it differs."""
    path = entry["path"]
    before = read_text(path)
    wanted = entry["content"] if entry["block"] is None else with_block(before or "", entry["block"])
    if wanted is None:
        module.fail_json(msg=f"{path}: one of content, block, link, directory or absent is needed")
    if before == wanted:
        return []
    if not module.check_mode:
        write_text(module, entry, wanted)
    return [f"{path}: {'missing' if before is None else 'content differs'}"]


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": SUBOPTIONS}
        },
        supports_check_mode=True,
    )
    changes = [change for entry in module.params["files"] for change in mend(module, entry)]
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
