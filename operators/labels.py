"""Label values as the exposition shows them: short, printable, and never two values as one.

What users write (names of jobs, titles, reasons) ends up in labels. A hostile value may hold quotes,
line breaks, bytes that are no UTF-8, or a megabyte.
"""

from __future__ import annotations

import hashlib
from typing import Final

MAX_LENGTH: Final = 128  # characters
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_MARK: Final = 9  # characters: "~" and 8 hexadecimal digits


def clean(value: str) -> str:
    """The value itself where it can be shown as it is; else a shown form of it, at most 128 characters.

    Characters that cannot be printed become U+FFFD, and what is too long is cut. A changed value ends
    in ``~`` and 8 digits of its SHA-256, so that two values that were different stay different.
    """
    if len(value) <= MAX_LENGTH and value.isprintable():
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    shown = "".join(c if c.isprintable() else _REPLACEMENT for c in value[: MAX_LENGTH - _MARK])
    return f"{shown}~{digest[: _MARK - 1]}"
