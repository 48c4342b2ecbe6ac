"""The `antenna` provider whose kinds decide as the real ones do and write down what they would have done."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from infra.provider import servicer
from infra.provider.__main__ import main

RECORDED = "tests.engine.site_provider.kinds"
servicer.KINDS = {token: (RECORDED, name) for token, (_, name) in servicer.KINDS.items()}

main(sys.argv[1:])
