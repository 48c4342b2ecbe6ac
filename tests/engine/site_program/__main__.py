"""The site's own program, with tools that are taken as built."""

from __future__ import annotations

from pathlib import Path

from infra.__main__ import main
from infra.tools import artifacts

SHA256 = "5" * 64

artifacts.digest = lambda **_: "0" * 16
artifacts.ensure_artifacts = lambda report, **_: (artifacts.digest(), Path("/nowhere"))
artifacts.kueue_manifest = lambda of: (Path("/nowhere/kueue.yaml"), SHA256)

main()
