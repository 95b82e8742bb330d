"""Files of Praat, in both text formats."""

from __future__ import annotations

import pytest

from brainnet.dataset.readers._textgrid import read_textgrid


def textgrid(words, duration, short=False) -> str:
    """A file of Praat with two tiers, phones and words."""
    phones = [(0.0, duration, "AH0")]
    if short:
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", str(duration), "<exists>", "2"]
        for name, tier in (("phone", phones), ("word", words)):
            lines += ['"IntervalTier"', f'"{name}"', "0", str(duration), str(len(tier))]
            lines += [f'{start}\n{end}\n"{text}"' for start, end, text in tier]
        return "\n".join(lines)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {duration}",
             "tiers? <exists>", "size = 2", "item []:"]  # fmt: skip
    for number, (name, tier) in enumerate((("phone", phones), ("word", words)), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {duration}", f"        intervals: size = {len(tier)}"]
        for i, (start, end, text) in enumerate(tier, 1):
            lines += [f"        intervals [{i}]:", f"            xmin = {start}", f"            xmax = {end}",
                      f'            text = "{text}"']  # fmt: skip
    return "\n".join(lines)


@pytest.mark.parametrize("short", [True, False])
def test_both_formats_of_praat_are_read(tmp_path, short):
    words = [(0.0, 0.5, 'say ""yes""'), (0.5, 1.25, "item [2]: 7"), (1.25, 3.0, "")]
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.TextGrid").write_text(textgrid(words, 3.0, short), encoding=encoding)
        found = read_textgrid(tmp_path / "a.TextGrid")
        assert list(found) == ["phone", "word"]
        assert found["word"] == [(0.0, 0.5, 'say "yes"'), (0.5, 1.25, "item [2]: 7"), (1.25, 3.0, "")]
