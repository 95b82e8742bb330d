"""The page in a browser: what it shows, answers and survives. Browsers draw in software, so pixels are exact."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from brainnet.plot import PageMap, PageRun, page
from brainnet.plot.interactive._geometry import drawn
from brainnet.scores import normalise
from brainnet.space import BrainSpace, surface_space
from tests.browser import Browser, Firefox, needs_chromium, needs_firefox

N = 10_242
WIDTH, HEIGHT = 1100, 800
SIDES = ("left", "right")
SURFACES = {"pial": 0, "inflated": 1, "flat": 2}
MARKUP = '<img src=x onerror="document.title=1">&amp;<b>'


def whole_brain(rois=None):
    return surface_space(torch.arange(2 * N), rois=rois)


def planted():
    """The whole of fsaverage5, with values that tell the vertex, and where it is."""
    number = torch.arange(2 * N)
    space = whole_brain({"Toy.V1": number % N < 3000, "Toy.FFA": (number % N >= 3000) & (number % N < 5000)})
    coords = torch.from_numpy(drawn(space).geometry.points["pial"])
    return PageRun(
        {
            "hemisphere": PageMap(number // N, "categorical", labels=SIDES, colors=[[0, 0, 1], [1, 0.5, 0]]),
            "number": PageMap(number % N / 1000.0, vmin=0.0, vmax=10.0, unit="thousands"),
            "x": PageMap(coords[:, 0]),
            "place": PageMap(torch.stack([number / N - 1, 1 - number / N], 1), "position"),
            "colors": PageMap(torch.stack([number / N % 1, number * 0 + 0.5, number * 0.0], 1), "rgba"),
            "score": PageMap((number % 7) / 10.0, vmin=0, vmax=1, unit="test r"),
            "ceiling": PageMap(torch.full((2 * N,), 0.75), vmin=0, vmax=1),
            "weight a": PageMap((number % 4) / 4.0, group="Weights"),
            "weight b": PageMap(1 - (number % 4) / 4.0, group="Weights"),
        },
        space,
        title="planted",
        score="score",
        ceiling="ceiling",
        window=("place", None),
        bars={"Weights": ["weight a", "weight b"]},
        images={"zebra.png": np.full((20, 30, 3), 90, np.uint8), "cup.png": np.full((20, 30, 3), 200, np.uint8)},
        best=torch.stack([number % 2, 1 - number % 2], 1),
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    one.resize(WIDTH, HEIGHT)
    yield one
    one.close()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Browser, id="chromium", marks=needs_chromium),
        pytest.param(Firefox, id="firefox", marks=needs_firefox),
    ],
)
def each_browser(request, tmp_path_factory):
    one = request.param(tmp_path_factory.mktemp("profile"))
    one.resize(WIDTH, HEIGHT)
    yield one
    one.close()


@pytest.fixture(scope="module")
def planted_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(planted()), encoding="utf-8")
    return path


def show(browser, unfold, turn=-90, tilt=10):
    browser.js(
        f"(() => {{ const c = brainnet.camera; c.turn = {turn}; c.tilt = {tilt}; c.side = 0; c.unfold = {unfold};"
        " brainnet.fit(); brainnet.render(); })()"
    )


def screen(browser, geometry, unfold):
    """Where numpy says that every vertex is, in pixels of the canvas, and how near it is; by the page's camera only."""
    points = {name: geometry.points[name].astype(np.float64) for name in SURFACES}
    at = points[next(name for name, number in SURFACES.items() if number == unfold)]
    axes, now = browser.js("brainnet.camera.axes()"), browser.js("brainnet.camera.now()")
    size = browser.js("brainnet.rects[0]")
    scale = size["height"] / 2 / now["half"]
    x = size["width"] / 2 + (at @ np.array(axes["right"]) - now["x"]) * scale
    y = size["height"] / 2 - (at @ np.array(axes["up"]) - now["y"]) * scale
    return np.stack([x, y], axis=1), at @ np.array(axes["near"])


def under(place, corners, faces, depths):
    """The vertex with the largest weight in the nearest triangle under a place, and how sure that is; -1 for none."""
    a, b, c = (corners[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        wb = ((place[0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (place[1] - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
        wc = ((b[:, 0] - a[:, 0]) * (place[1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (place[0] - a[:, 0])) / area
    weights = np.stack([1 - wb - wc, wb, wc], axis=1)
    hit = np.flatnonzero((weights >= 0).all(axis=1))
    if not len(hit):
        return -1, 1.0
    best = hit[(weights[hit] * depths[faces[hit]]).sum(axis=1).argmax()]
    low, middle, high = np.sort(weights[best])
    return int(faces[best][weights[best].argmax()]), min(high - middle, low + 0.05)


def spots(browser, geometry, unfold, count, rng, origin=None):
    """Places over random vertices, with the vertex that numpy finds there; those on a border of two are left out.

    With the canvas's origin in the window, they are at whole pixels of the window, as a pointer is in Firefox.
    """
    corners, depths = screen(browser, geometry, unfold)
    faces = geometry.faces[: geometry.n_flat] if unfold == 2 else geometry.faces
    size = browser.js("brainnet.rects[0]")
    found = []
    for vertex in rng.permutation(len(corners)):
        place = corners[vertex] + rng.uniform(-1.5, 1.5, 2)
        place = place if origin is None else np.round(place + origin) - origin
        if not (0 <= place[0] < size["width"] and 0 <= place[1] < size["height"]):
            continue
        here, sure = under(place, corners, faces, depths)
        if here >= 0 and sure > 0.03:
            found.append((place, here))
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("surface", SURFACES)
def test_the_vertex_under_the_pointer_is_numpys(each_browser, planted_page, surface):
    each_browser.open(planted_page)
    unfold = SURFACES[surface]
    show(each_browser, unfold)
    geometry = drawn(whole_brain()).geometry
    found = spots(each_browser, geometry, unfold, 200, np.random.default_rng(unfold))
    assert len(found) == 200
    places = [place.tolist() for place, _ in found]
    picked = each_browser.js(f"{places}.map(([x, y]) => brainnet.pick(brainnet.views[0], x, y))")
    assert picked == [vertex for _, vertex in found]
    assert len(set(picked)) > 150
    assert each_browser.js("brainnet.pick(brainnet.views[0], 1, 1)") == -1


@pytest.mark.parametrize("surface", SURFACES)
def test_hover_and_click_tell_the_planted_values(each_browser, planted_page, surface):
    each_browser.open(planted_page)
    unfold = SURFACES[surface]
    show(each_browser, unfold)
    geometry = drawn(whole_brain()).geometry
    each_browser.js("document.getElementById('views').style.visibility = 'hidden'")
    box = each_browser.js("(({left, top}) => [left, top])(brainnet.canvas.getBoundingClientRect())")
    for place, vertex in spots(each_browser, geometry, unfold, 4, np.random.default_rng(7), np.array(box)):
        x, y = place + box
        if each_browser.js(f"document.elementFromPoint({x}, {y}).id") != "canvas":
            continue
        each_browser.move(x, y)
        each_browser.until(f"!document.getElementById('tip').hidden && brainnet.hovered.vertex === {vertex}")
        text = each_browser.js("document.getElementById('tip').innerText")
        side, own = SIDES[vertex // N], vertex % N
        assert f"vertex {own}, {side}" in text
        assert ("V1 (Toy)" in text) == (own < 3000)
        assert ("FFA (Toy)" in text) == (3000 <= own < 5000)
        values = dict(line.split("\t") for line in text.splitlines() if "\t" in line)
        assert values["hemisphere"] == side
        assert float(values["number"]) == pytest.approx(own / 1000, abs=6e-4)
        assert float(values["score"]) == pytest.approx(vertex % 7 / 10, abs=1e-3)
        each_browser.click(x, y)
        each_browser.until("!document.getElementById('panel').hidden")
        panel = each_browser.js("document.getElementById('panel').innerText")
        assert f"vertex {own}, {side}" in panel
        assert "of the noise ceiling 0.75" in panel
        thumbs = each_browser.js("[...document.querySelectorAll('#panel .thumbs img')].map((one) => one.title)")
        assert thumbs == (["zebra.png", "cup.png"] if vertex % 2 == 0 else ["cup.png", "zebra.png"])
        bars = each_browser.js("[...document.querySelectorAll('#panel .rows')][1].innerText").split("\n")
        assert float(bars[1]) == pytest.approx(vertex % 4 / 4, abs=1e-3)
        each_browser.key("Escape")
        each_browser.until("document.getElementById('panel').hidden")
        show(each_browser, unfold)


def test_what_a_page_asks_for_and_complains_of_is_seen(each_browser, tmp_path):
    path = tmp_path / "loud.html"
    path.write_text(
        "<!doctype html><script>console.error('one'); console.warn('two'); document.documentElement.dataset.ready = 1;"
        " fetch('http://127.0.0.1:8999/asked').catch(() => {}); throw Error('three')</script>"
    )
    each_browser.open(path)
    each_browser.until("performance.now() > 300")
    assert each_browser.requests() == ["http://127.0.0.1:8999/asked"]
    said = " ".join(each_browser.complaints())
    assert all(word in said for word in ("one", "two", "three"))


def test_nothing_is_asked_of_the_network_and_nothing_complained_of(each_browser, planted_page):
    each_browser.open(planted_page)
    for number in range(9):
        each_browser.js(f"brainnet.showMap({number})")
    each_browser.js("brainnet.chooseRoi(brainnet.views[0], 0, true)")
    each_browser.js("brainnet.visit(brainnet.views[0], 12345)")
    each_browser.until("!brainnet.moving")
    refused = each_browser.js("fetch('https://example.org').then(() => 'sent', (error) => error.name)")
    assert refused == "TypeError"  # the policy of the page forbids it
    assert each_browser.requests() == []
    assert [text for text in each_browser.complaints() if "example.org" not in text] == []


def test_other_maps_and_surfaces_are_other_pictures(each_browser, planted_page):
    each_browser.open(planted_page)
    seen = []
    for unfold in (0, 0.5, 1, 1.5, 2):
        show(each_browser, unfold)
        seen.append(each_browser.screenshot())
    for number in (1, 3, 4):
        each_browser.js(f"brainnet.showMap({number}), brainnet.render()")
        seen.append(each_browser.screenshot())
    for k, one in enumerate(seen):
        assert one.std() > 5
        assert all((one != other).any(axis=2).mean() > 0.01 for other in seen[:k])


def plain_colors(browser, unfold, number, **view):
    """A screenshot without shading, fading, outlines and words, only the canvas."""
    show(browser, unfold, **view)
    browser.js("document.getElementById('views').hidden = document.getElementById('bar').hidden = true")
    browser.js(
        "for (const one of ['light', 'fade', 'lines']) brainnet.toggle(one, false);"
        f"brainnet.showMap({number}); brainnet.render()"
    )
    box = browser.js("(({left, top}) => [left, top])(brainnet.canvas.getBoundingClientRect())")
    left, top = (round(part) for part in box)
    return browser.screenshot()[top:, left:]


@needs_chromium
@pytest.mark.parametrize("unfold", [1, 2])
def test_categories_have_the_colors_of_the_legend_and_no_others(browser, planted_page, unfold):
    browser.open(planted_page)
    shot = plain_colors(browser, unfold, 0, turn=0, tilt=90)
    colors, counts = np.unique(shot.reshape(-1, 3), axis=0, return_counts=True)
    legend = browser.js(
        "[...document.querySelectorAll('.legend i')].map((one) => getComputedStyle(one).backgroundColor)"
    )
    legend = {tuple(int(part) for part in color[4:-1].split(",")) for color in legend}
    assert legend == {(0, 0, 255), (255, 128, 0)}
    background = tuple(shot[0, 0])
    assert set(map(tuple, colors[counts > 0].tolist())) == legend | {tuple(int(part) for part in background)}
    blue = np.argwhere((shot == [0, 0, 255]).all(axis=2))[:, 1]
    orange = np.argwhere((shot == [255, 128, 0]).all(axis=2))[:, 1]
    assert blue.max() < orange.min()  # from above, and on flat maps, left is left


@needs_chromium
def test_numbers_have_the_colors_of_their_bar(browser, planted_page):
    from matplotlib import colormaps

    browser.open(planted_page)
    shot = plain_colors(browser, 2, 2)
    geometry = drawn(whole_brain()).geometry
    found = spots(browser, geometry, 2, 60, np.random.default_rng(3))
    corners, _ = screen(browser, geometry, 2)
    faces, x = geometry.faces[: geometry.n_flat], geometry.points["pial"][:, 0]
    x = (x - x.min()) / np.ptp(x)
    bar = browser.js("[...document.querySelector('.ramp').getContext('2d').getImageData(0, 0, 256, 1).data]")
    bar = np.array(bar).reshape(256, 4)[:, :3]
    np.testing.assert_array_equal(bar, np.round(255 * colormaps["viridis"](np.arange(256))[:, :3]))
    checked = 0
    for place, _ in found:
        middle = np.floor(place) + 0.5
        inside, weights = _around(middle, corners[faces])
        if len(inside) != 1:
            continue
        value = weights[0] @ x[faces[inside[0]]]
        color = shot[int(middle[1]), int(middle[0])].astype(int)
        near = bar[max(0, int(value * 256) - 1) : int(value * 256) + 2]  # the neighbours: numbers have 16 bits
        assert np.abs(near - color).max(axis=1).min() <= 1
        checked += 1
    assert checked > 40


def _around(place, triangles):
    """The triangles (n, 3, 2) that a place lies in, and its weights of their corners."""
    matrices = np.concatenate([triangles.transpose(0, 2, 1), np.ones((len(triangles), 1, 3))], axis=1)
    drawn_ones = np.flatnonzero(abs(np.linalg.det(matrices)) > 1e-9)
    weights = np.linalg.solve(matrices[drawn_ones], np.array([*place, 1.0])[None, :, None])[..., 0]
    inside = (weights >= 0).all(axis=1)
    return drawn_ones[inside], weights[inside]


@needs_chromium
def test_the_left_view_shows_the_left_hemisphere_and_its_outer_side(browser, planted_page):
    browser.open(planted_page)
    geometry = drawn(whole_brain()).geometry
    for name, side, outer in (("left", 0, True), ("right", 1, True), ("inside left", 0, False)):
        browser.js(f"brainnet.look(VIEWS_OF('{name}'))".replace(f"VIEWS_OF('{name}')", _view(name)))
        browser.until("!brainnet.moving")
        places = [[x, y] for x in range(260, 700, 40) for y in range(200, 600, 40)]
        picked = browser.js(f"{places}.map(([x, y]) => brainnet.pick(brainnet.views[0], x, y))")
        seen = [vertex for vertex in picked if vertex >= 0]
        assert len(seen) > 30
        assert {vertex // N for vertex in seen} == {side}
        x = geometry.points["pial"][seen][:, 0] * (1 if side else -1)  # grows outwards
        middle = np.median(np.abs(geometry.points["pial"][:, 0]))
        assert (np.median(x) > middle) == outer


def _view(name):
    return {
        "left": "{turn: -90, tilt: 0, side: 1}",
        "right": "{turn: 90, tilt: 0, side: 2}",
        "inside left": "{turn: 90, tilt: 0, side: 1}",
    }[name]


@needs_chromium
def test_search_finds_regions_and_vertices(browser, planted_page):
    browser.open(planted_page)
    for text, wanted in (("ffa", "FFA"), ("vertex 77", "vertex 77, left"), ("score", None)):
        browser.js(f"(() => {{ const q = document.getElementById('query'); q.focus(); q.value = '{text}';"
                   " q.dispatchEvent(new Event('input')); })()")  # fmt: skip
        browser.key("Enter")
        if wanted is None:
            assert browser.js("document.querySelector('.caption h2').textContent") == "score"
        else:
            browser.until(f"document.querySelector('#panel h2')?.textContent === '{wanted}'")
    assert browser.js("brainnet.search.matches('nothing like that').length") == 0


@needs_chromium
def test_a_region_tells_its_means_and_its_images(browser, planted_page):
    browser.open(planted_page)
    browser.js("brainnet.chooseRoi(brainnet.views[0], 1)")
    panel = browser.js("document.getElementById('panel').innerText")
    inside = np.concatenate([np.arange(3000, 5000), N + np.arange(3000, 5000)])
    assert "FFA" in panel
    assert "4000 voxels" in panel
    shown = dict(browser.js("[...document.querySelectorAll('#panel dt')].map((one) => [one.textContent,"
                            " one.nextSibling.textContent])"))  # fmt: skip
    assert float(shown["score"]) == pytest.approx((inside % 7 / 10).mean(), abs=1e-3)
    assert float(shown["number"]) == pytest.approx((inside % N / 1000).mean(), abs=1e-3)
    assert browser.js("document.querySelectorAll('#panel .thumbs img').length") == 2
    assert browser.js("document.querySelectorAll('#panel .enlarge').length") == 0


@needs_chromium
def test_shares_of_the_ceiling_are_those_of_the_tables(browser, tmp_path):
    rng = np.random.default_rng(0)
    score, ceiling = rng.uniform(0.1, 0.6, 2 * N), rng.uniform(0.12, 0.9, 2 * N)
    ceiling[:40], ceiling[40:60] = 0.02, np.nan  # too low to divide by, and unknown
    maps = {"score": PageMap(score), "ceiling": PageMap(ceiling)}
    space = whole_brain({"Toy.V1": torch.arange(2 * N) < 100})
    (tmp_path / "page.html").write_text(page(PageRun(maps, space, score="score", ceiling="ceiling")), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    said = {}
    for name, call in {"low": "choose(brainnet.views[0], 3)", "voxel": "choose(brainnet.views[0], 70)",
                       "region": "chooseRoi(brainnet.views[0], 0)"}.items():  # fmt: skip
        browser.js(f"brainnet.{call}")
        said[name] = browser.js("document.querySelector('#panel .rows + p').innerText")
    share = normalise(score, ceiling).values.numpy()
    assert "%" not in said["low"]
    assert f"{round(100 * share[70])} %" in said["voxel"]
    mean = np.nanmean(share[:100])
    assert f"{round(100 * mean)} %" in said["region"]
    assert round(100 * mean) != round(100 * score[:100].mean() / np.nanmean(ceiling[:100]))


@needs_chromium
def test_a_region_shows_its_channels_large(browser, tmp_path):
    path = tmp_path / "page.html"
    picture = np.full((30, 60, 3), 90, np.uint8)
    path.write_text(page(replace(planted(), pictures={"Toy.FFA": picture})), encoding="utf-8")
    browser.open(path)
    browser.js("brainnet.chooseRoi(brainnet.views[0], 0)")
    assert browser.js("document.querySelectorAll('#panel .enlarge').length") == 0
    browser.js("brainnet.chooseRoi(brainnet.views[0], 1); document.querySelector('#panel .enlarge').click()")
    browser.until("document.querySelector('#keys[open] img')?.naturalWidth === 60")
    browser.js("document.querySelector('#keys button').click(); brainnet.help()")
    assert browser.js("document.querySelectorAll('#keys img').length") == 0
    assert browser.complaints() == []


@needs_chromium
def test_a_slider_shows_the_map_of_each_image(browser, tmp_path):
    number = torch.arange(2 * N)
    values = torch.stack([number / N, 2 - number / N], 1)
    scene = planted()
    path = tmp_path / "page.html"
    maps = {"activity": PageMap(values, "images", vmin=0.0, vmax=2.0), **scene.maps}
    path.write_text(page(replace(scene, maps=maps)), encoding="utf-8")
    browser.open(path)
    said = "document.querySelector('.reel').innerText"
    at = "brainnet.views[0].shown.at(5000)"
    assert "1 of 2: zebra.png" in browser.js(said)
    assert browser.js(at) == pytest.approx(5000 / N, abs=1e-3)
    before = browser.screenshot()
    browser.js("brainnet.choose(brainnet.views[0], brainnet.views[0].scene.shown[5000])")
    browser.js("(() => { const s = document.querySelector('.reel input'); s.value = 1;"
               " s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert "2 of 2: cup.png" in browser.js(said)
    assert browser.js(at) == pytest.approx(2 - 5000 / N, abs=1e-3)
    assert browser.js("document.getElementById('panel').innerText").count(f"{2 - 5000 / N:.3f}")
    browser.js("brainnet.choose(null, -1)")
    assert not np.array_equal(browser.screenshot(), before)
    browser.until("location.hash.includes('image=1')")
    browser.open(path, browser.js("location.hash"))
    assert browser.js("brainnet.frame") == 1
    browser.key(".")
    assert browser.js("brainnet.frame") == 0
    browser.js("brainnet.showMap(1)")
    assert browser.js("document.querySelector('.reel').hidden")
    assert browser.complaints() == []


def test_the_address_keeps_the_state(each_browser, planted_page):
    each_browser.open(planted_page)
    each_browser.js(
        "brainnet.showMap(2), brainnet.camera.turn = 33, brainnet.setUnfold(0.4), brainnet.toggle('lines', false)"
    )
    each_browser.js("brainnet.choose(brainnet.views[0], 20000)")
    each_browser.until("location.hash.includes('vertex')")
    address = each_browser.js("location.hash")
    each_browser.open(planted_page, address)
    kept = each_browser.js(
        "(({camera: c, views, options}) => [views[0].map, c.turn, c.unfold, options.lines])(brainnet)"
    )
    assert kept == [2, 33, 0.4, False]
    assert each_browser.js("brainnet.chosen.vertex") == 20_000
    each_browser.open(planted_page, "#map=99&unfold=x&turn=1e9&vertex=7,-3&roi=a&folded=1,2&theme=<b>")
    assert each_browser.js("[brainnet.views[0].map, brainnet.camera.unfold]") == [0, 1]
    assert each_browser.complaints() == []


@needs_chromium
def test_keys_and_touch_turn_the_brain(browser, planted_page):
    browser.open(planted_page)
    browser.js("brainnet.canvas.focus()")
    turn = browser.js("brainnet.camera.turn")
    browser.key("ArrowLeft")
    assert browser.js("brainnet.camera.turn") != turn
    browser.key("m")
    assert browser.js("brainnet.views[0].map") == 1
    half = browser.js("brainnet.camera.now().half")
    browser.key("+")
    assert browser.js("brainnet.camera.now().half") < half
    browser.js(
        "for (const [type, x] of [['pointerdown', 400], ['pointermove', 460], ['pointerup', 460]])"
        " brainnet.canvas.dispatchEvent(new PointerEvent(type, {pointerId: 1, pointerType: 'touch', clientX: x,"
        " clientY: 400, buttons: 1, bubbles: true}))"
    )
    assert browser.complaints() == [] or "setPointerCapture" in browser.complaints()[0]


@needs_chromium
def test_less_motion_is_none(browser, planted_page):
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    browser.open(planted_page)
    browser.js("brainnet.moveTo({unfold: 2})")
    assert browser.js("[brainnet.camera.unfold, Boolean(brainnet.moving)]") == [2, False]
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.open(planted_page)
    assert browser.screenshot()[-1, WIDTH // 2].max() < 60
    browser.do("Emulation.setEmulatedMedia", features=[])


@needs_chromium
def test_a_picture_holds_the_brain_and_its_legend(browser, planted_page):
    browser.open(planted_page)
    browser.js("brainnet.render()")
    size = browser.js("""(() => {
        const { width, height } = (window.shot = brainnet.picture());
        const data = shot.getContext('2d').getImageData(0, 0, width, height).data;
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add(data[i] * 65536 + data[i + 1] * 256 + data[i + 2]);
        return [width, height, seen.size, seen.has(0x0000ff)];
    })()""")
    assert size[:2] == browser.js("brainnet.size")
    assert size[2] > 100
    assert size[3]  # the blue of the legend


def test_two_runs_are_turned_together(each_browser, tmp_path):
    one, two = planted(), planted()
    path = tmp_path / "two.html"
    maps = {"score": torch.zeros(2 * N), "only here": torch.ones(2 * N)}
    path.write_text(page(one, PageRun(maps, two.space, "B")), encoding="utf-8")
    each_browser.open(path)
    assert each_browser.js("brainnet.page.brains.length") == 1  # what is the same is written once
    width = each_browser.js("brainnet.rects.map((one) => one.width)")
    assert len(width) == 2
    show(each_browser, 1, turn=40)
    first = each_browser.screenshot()
    show(each_browser, 1, turn=-60)
    changed = (each_browser.screenshot() != first).any(axis=2)
    left = round(each_browser.js("brainnet.canvas.getBoundingClientRect().left"))
    half = left + width[0]
    assert changed[:, left:half].mean() > 0.02
    assert changed[:, half:].mean() > 0.02
    each_browser.js("brainnet.showMap(5)")
    assert each_browser.js("brainnet.views.map((view) => view.shown.name)") == ["score", "score"]
    each_browser.js(
        "[...document.querySelectorAll('#maps button')].find((one) => one.textContent === 'only here').click()"
    )
    assert each_browser.js("brainnet.views.map((view) => view.shown.name)") == ["score", "only here"]
    assert each_browser.complaints() == []


@needs_chromium
def test_runs_on_different_meshes_stand_side_by_side(browser, tmp_path):
    coarse = surface_space(torch.arange(100, 400))
    fine = surface_space(torch.arange(0, 2000), "fsaverage")
    volume = BrainSpace(mask=torch.ones(23, 28, 23).bool(), affine=torch.tensor(
        [[8.0, 0, 0, -90], [0, 8, 0, -126], [0, 0, 8, -72], [0, 0, 0, 1]], dtype=torch.float64))  # fmt: skip
    scenes = [PageRun({"r": torch.linspace(0, 1, one.n_voxels)}, one) for one in (coarse, fine, volume, coarse)]
    path = tmp_path / "four.html"
    path.write_text(page(*scenes))
    browser.open(path)
    assert browser.js("brainnet.page.brains.map((one) => one.mesh)") == ["fsaverage5", "fsaverage"]
    parts, (width, height) = browser.js("brainnet.rects"), browser.js("brainnet.size")
    assert sum(part["width"] * part["height"] for part in parts) == width * height  # two rows of two
    assert len({(part["left"], part["top"]) for part in parts}) == 4
    browser.js("brainnet.visit(brainnet.views[2], brainnet.views[2].scene.shown.find((one) => one >= 0))")
    panel = browser.js("document.getElementById('panel').innerText")
    assert "vol_to_surf" in panel
    assert ", voxel " in panel
    assert browser.complaints() == []


@needs_chromium
def test_one_atlas_is_outlined_at_a_time_or_all(browser, tmp_path):
    number = torch.arange(2 * N) % N
    rois = {"V1": number < 2000, "Wang2015.V1v": number < 900, "Wang2015.V2v": (number >= 900) & (number < 2500)}
    path = tmp_path / "atlases.html"
    path.write_text(page(PageRun({"r": torch.zeros(2 * N)}, whole_brain(rois))), encoding="utf-8")
    browser.open(path)
    assert browser.js("[...document.querySelectorAll('#atlas option')].map((one) => one.textContent)") == [
        "of the run", "Wang2015", "all",
    ]  # fmt: skip
    shown = "brainnet.views[0].scene.rois.filter((roi) => brainnet.isOutlined(roi)).map((roi) => roi.name)"
    found = []
    for choice in ("brainnet.setAtlas(0)", "brainnet.setAtlas(1)", "brainnet.setAtlas(2)", "brainnet.toggle('lines')"):
        browser.js(f"{choice}; brainnet.render()")
        found.append((browser.js(shown), browser.screenshot()))
    assert [names for names, _ in found] == [["V1"], ["V1v", "V2v"], ["V1", "V1v", "V2v"], []]
    assert all((one[1] != other[1]).any() for one, other in itertools.pairwise(found))


@needs_chromium
def test_names_of_data_are_only_words(browser, tmp_path):
    number = torch.arange(2 * N)
    rois = {f"{MARKUP} {k}": number % N // 25 == k for k in range(400)}
    categories = PageMap(number % 400, "categorical", meaning=MARKUP, labels=[f"{MARKUP}{k}" for k in range(400)])
    scene = PageRun({MARKUP: categories}, whole_brain(rois), title=MARKUP, facts={MARKUP: MARKUP})
    path = tmp_path / "names.html"
    path.write_text(page(scene), encoding="utf-8")
    browser.open(path)
    browser.js("brainnet.chooseRoi(brainnet.views[0], 3, true)")
    browser.js("brainnet.choose(brainnet.views[0], 7)")
    browser.js("brainnet.hover(brainnet.views[0], 500, 400)")
    browser.js(
        "(() => { const q = document.getElementById('query'); q.value = 'img'; q.focus(); brainnet.search.show(); })()"
    )
    assert browser.js("document.title") == MARKUP
    assert browser.js("document.querySelectorAll('#stage img, #top img, #maps img, #panel img, b b').length") == 0
    assert browser.js("document.querySelectorAll('#found li').length") == 40
    assert browser.js("document.querySelectorAll('.legend i').length") == 400
    assert browser.complaints() == []


@needs_chromium
@pytest.mark.parametrize(
    ("space", "values"),
    [
        (whole_brain(), torch.full((2 * N,), torch.nan)),
        (surface_space(torch.tensor([5])), torch.tensor([0.5])),
        (surface_space(torch.tensor([N + 5, 3])), torch.tensor([torch.nan, torch.inf])),
        (surface_space(torch.arange(50)), torch.ones(50)),
    ],
    ids=["all NaN", "one vertex", "infinite", "all equal"],
)
def test_poor_maps_are_shown_as_they_are(browser, tmp_path, space, values):
    path = tmp_path / "poor.html"
    path.write_text(page(PageRun({"r": values}, space, score="r"), surface="flat"))
    browser.open(path)
    browser.js("brainnet.choose(brainnet.views[0], 5); brainnet.hover(brainnet.views[0], 500, 400)")
    legend = browser.js("document.querySelector('.legend').innerText")
    assert ("No voxel has a value" in legend) == (not np.isfinite(values.numpy()).any())
    assert browser.complaints() == []


# ---------------------------------------------------------------------- without a browser


def test_the_same_scene_gives_the_same_bytes():
    space = surface_space(torch.arange(300), rois={"A": torch.arange(300) < 9})
    scene = {"r": torch.linspace(0, 1, 300), "c": PageMap(torch.arange(300) % 3, "categorical")}
    assert page(PageRun(scene, space)) == page(PageRun(dict(scene), surface_space(torch.arange(300), rois=space.rois)))


@pytest.mark.parametrize(
    ("length", "says"),
    [(N, "fsaverage5 (10242 a hemisphere)"), (163_842 * 2, "fsaverage (163842 a hemisphere)"), (77, "(77,)")],
)
def test_values_of_another_length_name_the_mesh_they_would_fit(length, says):
    with pytest.raises(ValueError, match="300") as raised:
        page(PageRun({"r": torch.zeros(length)}, surface_space(torch.arange(300))))
    assert says in str(raised.value)
    assert "'r'" in str(raised.value)


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"maps": {}}, "maps"),
        ({"maps": {"r": PageMap(torch.zeros(9), "scalr")}}, "scalar"),
        ({"score": "rr"}, "'r'"),
        ({"window": ("r", None)}, "position"),
        ({"maps": {"r": PageMap(torch.full((9,), 0.5), "categorical")}}, "whole"),
        ({"maps": {"r": PageMap(torch.arange(9), "categorical", labels=["a"])}}, "labels"),
        ({"maps": {"r": PageMap(torch.arange(9), "categorical", colors=[[0, 0, 0]])}}, "colors"),
        ({"maps": {"r": PageMap(torch.zeros(9, 2), "rgba")}}, "3 or 4"),
        ({"maps": {"r": PageMap(torch.zeros(9, 2), "images")}}, "no images"),
        ({"maps": {"r": PageMap(torch.zeros(9), vmax=float("nan"))}}, "vmax"),
        ({"space": BrainSpace.free(9)}, "no place"),
    ],
)
def test_what_cannot_be_shown_is_said(how, names):
    given = {"maps": {"r": torch.zeros(9)}, "space": surface_space(torch.arange(9))} | how
    with pytest.raises(ValueError, match=names):
        page(PageRun(**given))


def test_unknown_surfaces_and_no_scene_are_refused():
    scene = PageRun({"r": torch.zeros(9)}, surface_space(torch.arange(9)))
    with pytest.raises(ValueError, match="inflated"):
        page(scene, surface="inflatd")
    with pytest.raises(ValueError, match="scene"):
        page()
