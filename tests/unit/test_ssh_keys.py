"""Keys are made by ssh-keygen where they are missing, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from playbooks.library import ssh_keys

KEYS = [
    {"stem": "lumi", "comment": "antenna@lumi"},
    {"stem": "jupiter.imec", "comment": "antenna@jupiter.imec", "type": "rsa-4096"},
]


def run(capsys: pytest.CaptureFixture[str], folder: Path, *, check: bool = False) -> dict[str, Any]:
    given = {"folder": str(folder), "keys": KEYS, "_ansible_check_mode": check}
    with patch_module_args(given), pytest.raises(SystemExit):
        ssh_keys.main()
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_missing_pair_is_made_for_its_owner_alone_and_stays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    looked = run(capsys, tmp_path, check=True)
    assert (looked["changed"], looked["public"], list(tmp_path.iterdir())) == (True, {}, [])
    made = run(capsys, tmp_path)
    assert made["changes"] == looked["changes"]
    assert made["public"]["lumi"].startswith("ssh-ed25519 ")
    assert made["public"]["lumi"].endswith(" antenna@lumi")
    assert made["public"]["jupiter.imec"].startswith("ssh-rsa ")
    assert {p.stat().st_mode & 0o777 for p in tmp_path.glob("*.key")} == {0o600}
    again = run(capsys, tmp_path)
    assert (again["changed"], again["changes"], again["public"]) == (False, [], made["public"])


def test_a_lost_public_half_is_written_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = run(capsys, tmp_path)
    (tmp_path / "lumi.key.pub").unlink()
    again = run(capsys, tmp_path)
    assert again["changes"] == [f"{tmp_path}/lumi.key.pub: missing"]
    assert again["public"] == made["public"]


def test_why_a_key_could_not_be_made_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = run(capsys, tmp_path / "nowhere")
    assert told["failed"]
    assert "ssh-keygen" in told["msg"]
