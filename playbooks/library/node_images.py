#!/usr/bin/python
"""Container images of one machine, loaded from archives beside it."""

from __future__ import annotations

import fnmatch
import json
import os
import tarfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_images
short_description: Container images loaded from archives into containerd
description:
  - Imports each archive whose images containerd lacks, or has from an older file. Images are pinned, so that
    the kubelet's garbage collection leaves what could not be pulled again.
options:
  directory: {description: Folder of the archives (OCI or Docker, *.tar)., type: path, required: true}
  include: {description: Shell patterns of file names to load., type: list, elements: str, default: ['*.tar']}
  exclude: {description: Shell patterns of file names to leave., type: list, elements: str, default: []}
  ctr: {description: The ctr program., type: path, required: true}
  loaded: {description: Where what was loaded is written down., type: path, required: true}
"""

EXAMPLES = r"""
- name: Load the images
  node_images:
    directory: /opt/antenna/artifacts/images
    ctr: /opt/antenna/artifacts/bin/ctr
    loaded: /var/lib/antenna/images.json
"""

RETURN = r"""
changes:
  description: One line an image that was missing or old.
  type: list
  elements: str
  returned: always
"""


def references(archive: str) -> list[str]:
    """Full names of the images in an archive, from its index or manifest.

    Raises KeyError when it has neither.
    """
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        if "manifest.json" in names:
            file = tar.extractfile("manifest.json")
            return [] if file is None else [tag for row in json.load(file) for tag in row["RepoTags"]]
        file = tar.extractfile("index.json")
        manifests = [] if file is None else json.load(file)["manifests"]
    key = "io.containerd.image.name"
    notes = [row.get("annotations", {}) for row in manifests]
    return [note.get(key) or note["org.opencontainers.image.ref.name"] for note in notes]


def stamp(archive: str) -> list[int]:
    """What tells one version of the file from another without reading it."""
    found = os.stat(archive)
    return [found.st_size, int(found.st_mtime)]


def chosen(names: list[str], include: list[str], exclude: list[str]) -> list[str]:
    """The file names that a pattern includes and none excludes, sorted."""

    def matches(name: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    return sorted(name for name in names if matches(name, include) and not matches(name, exclude))


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "include": {"type": "list", "elements": "str", "default": ["*.tar"]},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "ctr": {"type": "path", "required": True},
            "loaded": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    folder, record = params["directory"], params["loaded"]
    ctr = [params["ctr"], "--namespace", "k8s.io", "images"]
    names = chosen(os.listdir(folder), params["include"], params["exclude"])
    code, out, err = module.run_command([*ctr, "list", "--quiet"])
    if code and not module.check_mode:
        module.fail_json(msg=f"containerd does not answer: {(err or out).strip()}")
    present = set(out.split()) if code == 0 else set()
    known = {}
    if os.path.exists(record):
        with open(record, encoding="utf-8") as file:
            known = json.load(file)
    changes = []
    for name in names:
        archive = os.path.join(folder, name)
        entry = known.get(name, {})
        if entry.get("stamp") == stamp(archive) and present.issuperset(entry["references"]):
            continue
        changes.append(f"image {name}: {'missing' if not entry else 'not as loaded'}")
        if module.check_mode:
            continue
        tags = references(archive)
        module.run_command([*ctr, "import", archive], check_rc=True)
        for tag in tags:
            module.run_command([*ctr, "label", tag, "io.cri-containerd.pinned=pinned"], check_rc=True)
        known[name] = {"stamp": stamp(archive), "references": tags}
        os.makedirs(os.path.dirname(record), exist_ok=True)
        with open(f"{record}.new", "w", encoding="utf-8") as file:
            json.dump(known, file)
        os.replace(f"{record}.new", record)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
