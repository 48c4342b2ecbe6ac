"""Write the rule files beside the tables."""

from __future__ import annotations

from monitoring.rules.groups import FOLDER, rule_files

for _name, _content in rule_files().items():
    (FOLDER / _name).write_text(_content)
