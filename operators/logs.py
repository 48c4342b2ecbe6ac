"""The operator's log: a line an event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final, Literal

Format = Literal["text", "json"]

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure(form: Format) -> None:
    """Log to stderr from INFO on, in UTC."""
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else logging.Formatter(_TEXT, "%Y-%m-%dT%H:%M:%SZ"))
    # A line for each command that a site is asked is more than anybody reads.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
