"""The file of keys from which the API server encrypts Secrets: each state says what is left to do."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playbooks.library.encryption_keys import config_of, findings, keys_of, new_key, read, reads_plain, write

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NEW, OLD = new_key(NOW), new_key(NOW - timedelta(days=91))


def test_a_key_is_32_random_bytes_and_its_name_says_when() -> None:
    assert len(base64.b64decode(NEW["secret"])) == 32
    assert NEW["secret"] != new_key(NOW)["secret"]
    assert NEW["name"] == "key-20261201t000000z"


def test_one_young_key_and_nothing_else_is_all_there_is_to_be() -> None:
    assert findings(config_of([NEW], plain=False), NOW, 90, asked=False) == []


def test_what_is_left_to_do_is_seen_in_the_file() -> None:
    assert findings(config_of([OLD], plain=False), NOW, 90, asked=False) == ["encryption key: 91 days old"]
    asked = ["encryption key: its rotation was asked for"]
    assert findings(config_of([NEW], plain=False), NOW, 90, asked=True) == asked
    half_way = ["encryption key: the old one can still be read with"]
    assert findings(config_of([NEW, OLD], plain=False), NOW, 90, asked=False) == half_way
    plain = ["encryption: what is in plain text can still be read"]
    assert findings(config_of([NEW], plain=True), NOW, 90, asked=False) == plain


def test_the_file_is_roots_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "encryption" / "config.yaml"
    write(str(path), config_of([NEW, OLD], plain=True))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["config.yaml"]
    config = read(str(path))
    assert keys_of(config) == [NEW, OLD]
    assert reads_plain(config)
    assert json.loads(path.read_text())["resources"][0]["resources"] == ["secrets"]
