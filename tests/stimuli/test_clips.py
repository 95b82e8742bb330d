"""Clips from videos and from frames, their windows, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from brainnet.stimuli import Clips

av = pytest.importorskip("av", reason="videos are decoded by av")
N, SIDE, FPS = 30, 32, 10


def frame_of(number):
    return np.full((SIDE, SIDE, 3), 8 * number, np.uint8)


def film(path, n=N):
    """Frames that tell their number, in a codec without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "bgr0"
        for number in range(n):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_of(number), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    film(folder / "b10.mkv")
    film(folder / "b9.mkv", 12)
    return folder


def numbers(clip):
    return [int(np.array(clip[k]).mean()) // 8 for k in range(len(clip))]


def test_videos_of_a_folder_in_natural_order(folder):
    clips = Clips(folder)
    assert clips.ids == ["b9", "b10"]
    assert numbers(clips[0]) == list(range(12))
    assert numbers(clips[1]) == list(range(N))
    assert np.array_equal(np.array(clips[1][7]), frame_of(7))
    np.testing.assert_allclose(clips[1].times, np.arange(N) / FPS, atol=2e-3)  # of a unit of 1 ms


def test_windows_hold_the_frames_shown_in_them(folder):
    clips = Clips(folder / "b10.mkv", window=1.0, step=0.5)
    assert clips.ids == ["b10@0", "b10@0.5", "b10@1", "b10@1.5", "b10@2"]
    assert clips.onsets.tolist() == [0, 0.5, 1, 1.5, 2]
    assert [numbers(clip) for clip in clips] == [list(range(k, k + 10)) for k in (0, 5, 10, 15, 20)]
    assert clips[3].times[0] == pytest.approx(0, abs=2e-3)


def test_a_list_says_parts(folder, tmp_path):
    (folder / "list.csv").write_text("path,id,start,duration\nb10.mkv,x,2.5,0.5\nb9.mkv,y,0,1.2\n")
    clips = Clips(folder / "list.csv")
    assert clips.ids == ["x", "y"]
    assert numbers(clips[0]) == list(range(25, 30))
    assert len(clips[1]) == 12
    (folder / "past.csv").write_text("path,start,duration\nb10.mkv,2.8,0.5\n")
    with pytest.raises(ValueError, match=r"2.8 s to 3.3 s .*b10.mkv, which lasts 3 s"):
        Clips(folder / "past.csv").load(0)


def test_frames_in_memory(folder):
    pixels = np.stack([[frame_of(k) for k in range(6)]] * 2)
    images = [[Image.fromarray(frame) for frame in clip] for clip in pixels]
    a, b = Clips(pixels, fps=2), Clips(images, ["x", "y"])
    assert numbers(a[1]) == numbers(b[1]) == list(range(6))
    assert a[0].times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert numbers(Clips(pixels, fps=2, window=1.0)[2]) == [4, 5]


def test_frames_are_taken_from_the_middle_of_equal_parts(folder):
    clip = Clips(folder)[1]
    assert clip.evenly(3) == [5, 15, 25]
    assert clip.evenly(30) == list(range(30))
    assert clip.evenly(60) == [k // 2 for k in range(60)]


def test_the_signature_is_of_bytes_and_windows(folder, tmp_path):
    whole = Clips(folder).signature()
    assert whole == Clips([folder / "b9.mkv", folder / "b10.mkv"]).signature()
    assert whole != Clips([folder / "b10.mkv", folder / "b9.mkv"]).signature()
    film(tmp_path / "b9.mkv", 13)
    assert whole != Clips([tmp_path / "b9.mkv", folder / "b10.mkv"]).signature()
    assert Clips(folder / "b10.mkv", window=1).signature() != Clips(folder / "b10.mkv", window=1.5).signature()
    pixels = np.zeros((1, 3, 8, 8, 3), np.uint8)
    other = pixels.copy()
    other[0, 2, 7, 7, 2] = 1
    assert Clips(pixels).signature() != Clips(other).signature()


def test_a_set_of_clips_goes_to_another_process(folder):
    clips = Clips(folder)
    clips.load(0)
    assert numbers(pickle.loads(pickle.dumps(clips))[0]) == list(range(12))


def test_what_is_no_video_is_named(folder, tmp_path):
    (tmp_path / "a.mp4").write_text("a text")
    with pytest.raises(ValueError, match="a.mp4"):
        Clips(tmp_path).load(0)
    with pytest.raises(FileNotFoundError, match="away.mp4"):
        Clips(tmp_path / "away.mp4")
    for empty in ([[]], [np.zeros((0, 8, 8, 3), np.uint8)], np.zeros((2, 0, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="no frames"):
            Clips(empty)
    with pytest.raises(TypeError, match="PIL"):
        Clips([[1, 2]])
    with pytest.raises(ValueError, match="longer than"):
        Clips(folder / "b9.mkv", window=2)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes((folder / "b10.mkv").read_bytes()[:600])
    with pytest.raises(ValueError, match="cut.mkv"):
        numbers(Clips(cut)[0])


def test_a_broken_frame_is_named(folder, tmp_path):
    whole = bytearray((folder / "b10.mkv").read_bytes())
    place = len(whole) * 2 // 3
    whole[place : place + 40] = bytes(40)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(bytes(whole))
    clip = Clips(broken)[0]
    with pytest.raises(ValueError, match=r"frame \d+ of .*broken.mkv"):
        numbers(clip)


def test_a_film_of_sound_alone_is_named(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"a.mp4 has no pictures"):
        Clips(tmp_path / "a.mp4").load(0)
