"""Why a job waits, in a sentence: what it waits for, since when, what is ahead of it, what would unblock it.

Pure but for ``gathering``: facts in, an Explanation out.
"""

from operators.why.explain import explain
from operators.why.explanation import Ahead, Explanation
from operators.why.facts import Facts

__all__ = ["Ahead", "Explanation", "Facts", "explain"]
