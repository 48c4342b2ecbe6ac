"""Owners of a machine's files: by name where there is one, by number for users of containers."""

from __future__ import annotations

import pwd
from pathlib import Path

from playbooks.module_utils.node_files import account, mend_attributes

FOLDER = {"directory": True, "mode": "2770", "group": None}


def test_an_owner_is_a_name_or_a_number_and_brings_its_group() -> None:
    root = pwd.getpwnam("root")
    assert account("root", None) == (root.pw_uid, root.pw_gid)
    assert account("65532", None) == (65532, 65532)
    assert account("root", "65532") == (root.pw_uid, 65532)


def test_a_folder_of_a_container_s_user_is_named_when_it_is_another_s(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = mend_attributes({**FOLDER, "path": str(tmp_path), "owner": "65532"}, check=True)
    assert f"{tmp_path}: mode 0755, declared 2770" in found
    assert any(line.endswith("declared 65532:65532") for line in found)
