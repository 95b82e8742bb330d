"""Frames of videos: which are taken, what they are called, and that each is the right one."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from brainnet.stimuli import Images

av = pytest.importorskip("av", reason="frames of videos are read by av")

N, WIDTH, HEIGHT = 40, 64, 48


def frame_of(number):
    """A picture that tells its number by its red, and its sides apart."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 0] = 6 * number
    pixels[:, : WIDTH // 2, 2] = 200
    return pixels


def film(path, codec="libx264", rate=10, stamps=None, sound=False):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p" if codec == "libx264" else "yuv420p"
        stream.gop_size, stream.bit_rate = 8, 4_000_000
        if stamps is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(N):
            frame = av.VideoFrame.from_ndarray(frame_of(number), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = int(stamps[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return film(tmp_path_factory.mktemp("film") / "clip.mp4")


def numbers(images):
    """The numbers of frames by their red, which encoding keeps to within half a step."""
    return [round(np.array(image)[..., 0].mean() / 6) for image in images]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_every_frame_in_order(tmp_path, name, codec):
    images = Images(film(tmp_path / name, codec))
    assert images.layout == "video"
    assert len(images) == N
    assert (images.ids[0], images.ids[-1]) == ("frame0001", "frame0040")
    assert numbers(images) == list(range(N))
    pixels = np.array(images[20]).astype(int)
    assert np.abs(pixels - frame_of(20)).max() < 30  # red is red, left is left, the top is up


def test_frames_by_rate_and_by_step(clip):
    images = Images(clip, every=7)
    assert numbers(images) == [0, 7, 14, 21, 28, 35]
    assert images.ids[:2] == ["frame0001", "frame0008"]
    assert numbers(Images(clip, fps=2)) == list(range(0, 40, 5))
    assert numbers(Images(clip, fps=10)) == list(range(N))
    assert numbers(Images(clip, fps=4)) == [int(k * 2.5) for k in range(16)]  # the frame on display then
    assert numbers(Images(clip, fps=1, rows=[2, 0])) == [20, 0]
    with pytest.raises(ValueError, match="shows 10 frames a second, and at 20 a second frame 1 would be taken twice"):
        Images(clip, fps=20)
    for how in ({"fps": 0}, {"every": 0}, {"fps": -1}, {"fps": 1, "every": 1}):
        with pytest.raises(ValueError, match="fps"):
            Images(clip, **how)


def test_a_variable_rate_is_sampled_by_its_times(tmp_path):
    stamps = [number * 0.1 for number in range(20)] + [2 + number * 0.5 for number in range(20)]
    path = film(tmp_path / "a.mkv", stamps=stamps)
    assert numbers(Images(path, fps=2)) == [0, 5, 10, 15, *range(20, 40)]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("order", ["backward", "random", "threads"])
def test_any_order_gives_the_same_frames(tmp_path, name, order):
    images = Images(film(tmp_path / name), every=3)
    expected = [np.array(image) for image in images]
    if order == "threads":
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda i: np.array(images[i]), range(len(images))))
        places = range(len(images))
    else:
        places = np.random.default_rng(0).permutation(len(images)) if order == "random" else range(len(images))[::-1]
        found = [np.array(images[i]) for i in places]
    for place, pixels in zip(places, found, strict=True):
        assert np.array_equal(pixels, expected[place])


def test_a_video_survives_pickling(clip):
    images = Images(clip, every=10)
    images[1]
    assert numbers(pickle.loads(pickle.dumps(images))) == [0, 10, 20, 30]


def test_a_telephone_held_upright(tmp_path):
    path = film(tmp_path / "a.mp4", "mpeg4")
    whole = bytearray(path.read_bytes())
    matrix = whole.index(b"tkhd") + 4 + 40  # behind version, flags, times, track, duration, layer and volume
    one, nothing, minus = (1 << 16).to_bytes(4, "big"), bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True)
    assert whole[matrix : matrix + 4] == one
    whole[matrix : matrix + 20] = nothing + one + nothing + minus + nothing  # a quarter turn to the right
    path.write_bytes(whole)
    image = Images(path)[0]
    assert image.size == (HEIGHT, WIDTH)
    pixels = np.array(image).astype(int)
    assert pixels[: WIDTH // 2, :, 2].mean() > 150  # what was left is up
    assert pixels[WIDTH // 2 :, :, 2].mean() < 50


def test_the_signature_knows_the_bytes_and_the_frames(clip, tmp_path):
    signatures = {Images(clip, every=every).signature() for every in (1, 2, 3)}
    assert len(signatures) == 3
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes() + b"\0")
    assert Images(other, every=2).signature() not in signatures
    assert Images(clip, every=2).copies() == []


def test_damaged_frames_are_named_or_left_out(tmp_path):
    path = film(tmp_path / "a.mkv", "mpeg4")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    images = Images(path, skip_bad=True, progress=False)
    assert 5 < len(images) < N
    assert numbers(images) == list(range(len(images)))


def test_what_is_no_video_is_one_line(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"cannot read .*a\.mp4: it is damaged, or no video"):
        Images(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read .*b\.mp4"):
        Images(tmp_path / "b.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"sound\.mp4 has no pictures"):
        Images(tmp_path / "sound.mp4")


@pytest.mark.parametrize("held", [True, False])
def test_a_process_forked_after_a_frame_was_read_does_not_wait_for_threads_it_has_not(clip, held):
    import gc
    import multiprocessing

    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes are not forked here")
    images = [Images(clip)]
    images[0][3]
    gc.disable()  # until the other process collects what this one has left
    if not held:
        images.clear()

    def reads():
        gc.collect()
        if images:
            assert numbers([images[0][5]]) == [5]
        gc.collect()

    other = multiprocessing.get_context("fork").Process(target=reads)
    try:
        other.start()
    finally:
        gc.enable()
    other.join(20)
    code = other.exitcode
    other.kill()
    assert code == 0
