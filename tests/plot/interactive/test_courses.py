"""Lines in the panel: what is packed is what was given, and what the browser draws is what was packed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from brainnet.plot import PageCourse, PageMap, PageRun, page
from brainnet.plot.interactive._courses import packed_courses
from brainnet.plot.interactive._file import Planes
from brainnet.space import surface_space
from tests.browser import Browser, needs_chromium

N = 10_242


def courses(n):
    number = np.arange(n)
    weights = np.stack([number % 3 == k for k in range(3)], 1) * 1.0
    wave = np.sin(np.arange(40) / 4)[None] * (1 + number % 5)[:, None]
    wave[7, 10:20] = np.nan
    return {
        "Weight of each delay": PageCourse({"weight": weights}, [2.0, 4.0, 6.0], "delay (s)", "share", dots=True),
        "Over time": PageCourse({"measured": wave, "predicted": 0.5 * wave}, np.arange(40) * 2.0, "time (s)",
                                "response", gaps=[20], starts=[10.0, -4.0]),
        "Score of each run": PageCourse({"r": weights}, range(3), "test run", "r", ["r1", "r2", "r3"], dots=True),
    }  # fmt: skip


def test_other_shapes_are_refused():
    used = np.arange(4)
    with pytest.raises(ValueError, match=r"'b' of 'a'.*\(4, 2\)"):
        packed_courses({"a": PageCourse({"b": np.zeros((3, 2))}, [0, 1])}, 4, used, Planes())
    with pytest.raises(ValueError, match="ascend"):
        packed_courses({"a": PageCourse({"b": np.zeros((4, 2))}, [1, 1])}, 4, used, Planes())
    with pytest.raises(ValueError, match="1 ticks for 2"):
        packed_courses({"a": PageCourse({"b": np.zeros((4, 2))}, [0, 1], ticks=["x"])}, 4, used, Planes())
    with pytest.raises(ValueError, match="2 starts.*1 part"):
        packed_courses({"a": PageCourse({"b": np.zeros((4, 2))}, [0, 1], starts=[0, 1])}, 4, used, Planes())
    with pytest.raises(ValueError, match="fewer places"):
        packed_courses({"a": PageCourse({"b": np.broadcast_to(0.0, (4, 6_000_000))}, range(6_000_000))}, 4, used,
                       Planes())  # fmt: skip


@needs_chromium
def test_the_panel_draws_the_lines_of_a_voxel_and_the_means_of_a_region(tmp_path):
    number = np.arange(2 * N)
    space = surface_space(number, rois={"Toy.V1": number < 30})
    given = courses(2 * N)
    scene = PageRun({"Latency": PageMap(number % 3 * 2.0 + 2, unit="s", vmin=2.0, vmax=6.0)}, space, courses=given)
    (tmp_path / "page.html").write_text(page(scene), encoding="utf-8")
    browser = Browser(tmp_path / "profile")
    try:
        browser.resize(1100, 1000)
        browser.open(tmp_path / "page.html")
        for voxel in (5, 7):
            read = browser.js(
                f"brainnet.views[0].scene.courses.map((one) => one.lines.map((line) => line.at({voxel})))"
            )
            for course, lines in zip(given.values(), read, strict=True):
                for expected, values in zip(course.lines.values(), lines, strict=True):
                    told = np.array([np.nan if value is None else value for value in values], dtype=float)
                    np.testing.assert_allclose(told, expected[voxel], atol=2e-4)
        browser.js("brainnet.choose(brainnet.views[0], brainnet.views[0].scene.shown[7])")
        assert browser.js("document.querySelectorAll('#panel .chart').length") == 3
        paths = browser.js("[...document.querySelectorAll('#panel .chart')[1].querySelectorAll('path')]"
                           ".map((one) => one.getAttribute('d'))")  # fmt: skip
        assert [path.count("M") for path in paths] == [2, 2]  # NaN until place 20, where a run begins
        assert [path.count("L") for path in paths] == [28, 28]
        names = browser.js("[...document.querySelectorAll('#panel .chart')[1].querySelectorAll('text')]"
                           ".filter((one) => one.getAttribute('text-anchor') === 'middle')"
                           ".map((one) => [one.textContent, Number(one.getAttribute('x'))])")  # fmt: skip
        assert [text for text, _ in names] == ["20", "40", "0", "20", "time (s)"]
        drawn = re.findall(r"[ML]([\d.]+),", paths[0])
        across = dict(zip([*range(10), *range(20, 40)], map(float, drawn), strict=True))
        assert names[0][1] == pytest.approx(across[5], abs=0.1)  # 20 s are ten seconds after the first run began
        assert names[2][1] == pytest.approx(across[22], abs=0.1)  # 0 s are the second run's third volume
        legend = browser.js("document.querySelector('#panel .legend').innerText").split()
        assert legend == ["measured", "predicted"]
        heights = browser.js("[...document.querySelectorAll('#panel .chart')[0].querySelectorAll('circle')]"
                             ".map((one) => Number(one.getAttribute('cy')))")  # fmt: skip
        assert np.argmin(heights) == 7 % 3  # the largest weight stands highest
        box = browser.js("(() => { const b = document.querySelectorAll('#panel .chart')[2].getBoundingClientRect();"
                         " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
        browser.js("document.querySelectorAll('#panel .chart')[2].scrollIntoView()")
        box = browser.js("(() => { const b = document.querySelectorAll('#panel .chart')[2].getBoundingClientRect();"
                         " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
        browser.move(box[0] + 0.95 * box[2], box[1] + box[3] / 2)
        browser.until("document.querySelectorAll('#panel .reading')[2].textContent.startsWith('r3')")
        browser.js("document.querySelectorAll('#panel .chart')[1].scrollIntoView()")
        box = browser.js("(() => { const b = document.querySelectorAll('#panel .chart')[1].getBoundingClientRect();"
                         " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
        browser.move(box[0] + across[22] / 284 * box[2], box[1] + box[3] / 2)
        browser.until("document.querySelectorAll('#panel .reading')[1].textContent.startsWith('time (s) 0:')")
        browser.js("brainnet.chooseRoi(brainnet.views[0], 0)")
        assert browser.js("document.querySelectorAll('#panel .chart').length") == 3
        assert browser.complaints() == []
    finally:
        browser.close()
