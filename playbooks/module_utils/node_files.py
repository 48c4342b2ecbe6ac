"""A set of files, folders and links of one machine, compared and written in one go."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "block": {"type": "str"},
    "link": {"type": "str"},
    "directory": {"type": "bool", "default": False},
    "mode": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str"},
    "validate": {"type": "str"},
}

BEGIN, END = "# antenna: begin", "# antenna: end"


def with_block(before: str, block: str) -> str:
    """The text with the marked block in its old place, else at the end; an empty block leaves."""
    section = f"{BEGIN}\n{block.rstrip()}\n{END}\n" if block else ""
    head, found, rest = before.partition(BEGIN + "\n")
    if not found:
        if not section:
            return before
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


def account(owner: str, group: str | None) -> tuple[int, int]:
    """(uid, gid) of names, or of numbers: users of containers have no names on a machine."""
    if owner.isdecimal():
        uid = gid = int(owner)
    else:
        uid, gid = pwd.getpwnam(owner)[2:4]
    if group:
        gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    return uid, gid


def mend_attributes(entry: dict[str, Any], check: bool) -> list[str]:
    """Mode and owner of what exists."""
    path = entry["path"]
    found = os.stat(path)
    mode = int(entry["mode"] or ("0755" if entry["directory"] else "0644"), 8)
    owner, group = account(entry["owner"], entry["group"])
    changes = []
    if stat.S_IMODE(found.st_mode) != mode:
        changes.append(f"{path}: mode {stat.S_IMODE(found.st_mode):04o}, declared {mode:04o}")
    if (found.st_uid, found.st_gid) != (owner, group):
        changes.append(f"{path}: owner {found.st_uid}:{found.st_gid}, declared {owner}:{group}")
    if changes and not check:
        os.chown(path, owner, group)
        os.chmod(path, mode)
    return changes


def mend_files(module: AnsibleModule, files: list[dict[str, Any]]) -> list[str]:
    """Bring every path to what is declared; a line for each difference found."""
    return [change for entry in files for change in mend_entry(module, entry)]


def remove_files(module: AnsibleModule, paths: list[str]) -> list[str]:
    """Remove files and links that are there; a line for each."""
    there = [path for path in paths if os.path.lexists(path)]
    for path in [] if module.check_mode else there:
        os.unlink(path)
    return [f"{path}: present, declared absent" for path in there]


def mend_entry(module: AnsibleModule, entry: dict[str, Any]) -> list[str]:
    """Bring one path to what is declared."""
    path, check = entry["path"], module.check_mode
    if entry["link"] is not None:
        return mend_link(path, entry["link"], check)
    changes = mend_folder(path, check) if entry["directory"] else mend_content(module, entry)
    return changes + (mend_attributes(entry, check) if os.path.exists(path) else [])


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
        module.fail_json(msg=f"{path}: one of content, block, link or directory is needed")
    if before == wanted:
        return []
    if not module.check_mode:
        write_text(module, entry, wanted)
    return [f"{path}: {'missing' if before is None else 'content differs'}"]
