from __future__ import annotations

import ast
import re

from brainnet.run.sharing.brainscore_text import INIT, MODEL, README, TEST

WORDS = {
    "identifier": "x",
    "name": "'a:b'",
    "options": "{}",
    "layers": "['1']",
    "version": "1",
    "regions": "| V1 | 1 |",
}


def test_every_word_is_filled_and_code_is_code():
    for text in (INIT, MODEL, TEST, README):
        assert set(re.findall(r"@(\w+)@", text)) <= set(WORDS)
        filled = re.sub(r"@(\w+)@", lambda found: WORDS[found[1]], text)
        assert max(map(len, filled.splitlines())) <= 120
        if text is not README:
            ast.parse(filled)
