from __future__ import annotations

import pytest
import yaml

from brainnet.run.sharing import words


def test_a_text_from_data_is_no_markup():
    assert words._text("a|b\n# c <script>") == r"a\|b \# c \<script\>"
    header = yaml.safe_load(words._header(None, "evil: [x]\n---", "timm:vit"))
    assert header["license"] == "other"
    assert header["tags"][-1] == "timm-vit"


def test_licenses_are_words_of_the_hub():
    words.check_license("cc-by-nc-4.0")
    words.check_license(None)
    for bad in ("", "CC BY", "mit\nx: y", "../x"):
        with pytest.raises(ValueError, match="no license"):
            words.check_license(bad)
