"""How many simulated studies a slow test makes: all of them, or a share where $BRAINNET_STUDIES says so.

CI runs a quarter before every change; ``pytest -m slow`` runs all. Tests that use it widen their limits by the
standard error of what they counted.
"""

from __future__ import annotations

import os


def studies(n: int) -> int:
    """``n`` studies, or the share of them that the environment asks for, at least ten.

    >>> studies(4)
    4
    """
    share = float(os.environ.get("BRAINNET_STUDIES") or 1)
    return min(n, max(10, round(n * share)))
