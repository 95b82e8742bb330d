"""Sounds from files of several formats and from samples, their windows, their rate; and what is refused."""

from __future__ import annotations

import pickle
import wave

import numpy as np
import pytest

from brainnet.stimuli import Sound, Sounds
from brainnet.stimuli.sounds import decode_sound, resampled

av = pytest.importorskip("av", reason="sounds are decoded by av")
RATE = 8000


def tone(seconds=1.0, hertz=440.0, rate=RATE):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate) / 2


def write_wav(path, samples, rate=RATE):
    """16-bit PCM by Python's own writer; (n,) or (n, channels)."""
    samples = np.atleast_2d(np.asarray(samples).T).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return path


def encode(path, codec, samples, rate, layout="mono"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.rint(samples * 32767).astype(np.int16)[None], format="s16", layout=layout)
        frame.rate = rate
        for part in (frame, None):
            container.mux(stream.encode(part))
    return path


def test_a_wav_file_sample_by_sample(tmp_path):
    sound = Sounds(write_wav(tmp_path / "a.wav", tone()))[0]
    assert (sound.rate, len(sound.samples), sound.duration) == (RATE, RATE, 1.0)
    np.testing.assert_array_equal(sound.samples, (np.rint(tone() * 32767) / 32768).astype(np.float32))


def test_flac_is_the_same_to_the_last_bit_and_mp3_nearly(tmp_path):
    samples = tone(1.0, rate=16000)
    exact = Sounds([write_wav(tmp_path / "a.wav", samples, 16000)])[0].samples
    flac = decode_sound(encode(tmp_path / "a.flac", "flac", samples, 16000)).samples
    np.testing.assert_array_equal(flac, exact)
    if "libmp3lame" not in av.codecs_available:
        pytest.skip("this build of FFmpeg writes no mp3")
    mp3 = decode_sound(encode(tmp_path / "a.mp3", "libmp3lame", samples, 16000))
    assert mp3.rate == 16000
    assert np.corrcoef(mp3.samples[2000:12000], exact[2000:12000])[0, 1] > 0.99  # in phase: the delay is taken off


def test_channels_are_averaged(tmp_path):
    left, right = tone(hertz=300), 0.5 * tone(hertz=500)
    sound = decode_sound(write_wav(tmp_path / "a.wav", np.stack([left, right], 1)))
    np.testing.assert_allclose(sound.samples, (left + right) / 2, atol=1e-4)


def test_the_sound_of_a_film(tmp_path):
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        pictures, sound = (
            container.add_stream("mpeg4", rate=10),
            container.add_stream("pcm_s16le", rate=16000, layout="mono"),
        )
        pictures.width = pictures.height = 64
        for _ in range(5):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        container.mux(pictures.encode())
        frame = av.AudioFrame.from_ndarray(np.rint(tone(0.5, rate=16000) * 32767).astype(np.int16)[None], "s16", "mono")
        frame.rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    assert len(Sounds(path)[0].samples) == 8000


def test_resampling_keeps_a_tone_and_takes_off_what_the_new_rate_has_no_room_for():
    sound = Sound((tone(1.0, 440, 44100) + tone(1.0, 15000, 44100)).astype(np.float32), 44100)
    found = resampled(sound, 16000)
    assert found.shape == (16000,)
    inner = slice(500, -500)  # beyond the edges of the filter
    np.testing.assert_allclose(found[inner], tone(1.0, 440, 16000)[inner], atol=0.01)
    assert resampled(sound, 44100) is sound.samples


def test_windows_cut_every_sound_where_they_say(tmp_path):
    ramp = np.arange(5 * RATE) / (5 * RATE)
    path = write_wav(tmp_path / "ramp.wav", ramp)
    sounds = Sounds(path, window=2.0, step=1.5)
    assert sounds.ids == ["ramp@0", "ramp@1.5", "ramp@3"]
    assert sounds.onsets.tolist() == [0, 1.5, 3]
    assert sounds.durations.tolist() == [2, 2, 2]
    for sound, start in zip(sounds, sounds.onsets, strict=True):
        first = round(start * RATE)
        np.testing.assert_allclose(sound.samples, ramp[first : first + 2 * RATE], atol=1e-4)
    assert Sounds(path, window=2.0).ids == ["ramp@0", "ramp@2"]
    assert Sounds(path, window=2.0, partial=True).durations.tolist() == [2, 2, 1]


def test_a_list_says_parts_ids_and_onsets(tmp_path):
    ramp = np.arange(5 * RATE) / (5 * RATE)
    write_wav(tmp_path / "ramp.wav", ramp)
    table = "path,id,start,duration,onset\nramp.wav,first,0,1,10\nramp.wav,last,4,1,12.5\n"
    (tmp_path / "list.csv").write_text(table)
    sounds = Sounds(tmp_path / "list.csv")
    assert sounds.ids == ["first", "last"]
    assert sounds.onsets.tolist() == [10, 12.5]
    np.testing.assert_allclose(sounds[1].samples, ramp[4 * RATE :], atol=1e-4)
    (tmp_path / "past.csv").write_text("path,start,duration\nramp.wav,4.5,1\n")
    with pytest.raises(ValueError, match=r"4.5 s to 5.5 s .*ramp.wav, which lasts 5 s"):
        Sounds(tmp_path / "past.csv").load(0)


def test_the_signature_is_of_samples_rate_and_window(tmp_path):
    path, other = write_wav(tmp_path / "a.wav", tone()), write_wav(tmp_path / "b.wav", 0.999 * tone())
    assert Sounds(path).signature() == Sounds([path]).signature()
    assert Sounds(path).signature() != Sounds(other).signature()
    assert Sounds(path, window=0.5).signature() != Sounds(path, window=0.4).signature()
    array = [tone().astype(np.float32)]
    assert Sounds(array, rate=RATE).signature() != Sounds(array, rate=RATE // 2).signature()


def test_a_set_of_sounds_goes_to_another_process(tmp_path):
    sounds = Sounds(write_wav(tmp_path / "a.wav", tone()), window=0.5)
    sounds.load(0)
    again = pickle.loads(pickle.dumps(sounds))
    np.testing.assert_array_equal(again[1].samples, sounds[1].samples)


def test_what_is_no_sound_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("this is a text")
    with pytest.raises(ValueError, match="text.wav"):
        Sounds(tmp_path)[0]
    write_wav(tmp_path / "none.wav", np.empty(0))
    with pytest.raises(ValueError, match="none.wav.*no samples"):
        Sounds(tmp_path / "none.wav").load(0)
    with pytest.raises(FileNotFoundError, match="away.wav"):
        Sounds(tmp_path / "away.wav")
    (tmp_path / "list.txt").write_text("text.wav\naway.wav\n")
    with pytest.raises(FileNotFoundError, match="away.wav"):
        Sounds(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("picture.png\n")
    with pytest.raises(ValueError, match="picture.png"):
        Sounds(tmp_path / "list.txt")
    for rate in (None, 0):
        with pytest.raises(ValueError, match="rate"):
            Sounds([tone()], rate=rate)
    with pytest.raises(ValueError, match="int64"):
        Sounds([np.arange(9)], rate=9)
    with pytest.raises(ValueError, match="no finite"):
        Sounds([np.full(9, np.nan)], rate=9)
    with pytest.raises(ValueError, match="longer than .*1 s"):
        Sounds([tone()], rate=RATE, window=2.0)
    with pytest.raises(ValueError, match="window"):
        Sounds([tone()], rate=RATE, step=2.0)


def test_a_film_without_sound_is_named(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"a.mp4 has no sound"):
        Sounds(tmp_path / "a.mp4").load(0)
