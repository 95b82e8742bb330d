"""Chunks on disk: damaged or misplaced ones are never believed, only computed again."""

import json
import os

import pytest
import torch

from brainnet.rsa import Neighbourhoods, RDMs, searchlight
from brainnet.rsa.search import chunks
from brainnet.space import BrainSpace


@pytest.fixture
def search(rng, tmp_path, monkeypatch):
    """A searchlight of three chunks of equal size, and a call that runs it again."""
    monkeypatch.setattr(chunks, "CENTRES_PER_CHUNK", 2)
    lights = Neighbourhoods.from_lists([[i, i + 1, i + 2, i + 3] for i in range(6)], BrainSpace.free(9))
    patterns, models = torch.randn(8, 9, generator=rng), RDMs(torch.rand(2, 28, generator=rng))

    def run():
        generator = torch.Generator().manual_seed(1)
        return searchlight(patterns, models, lights, n_permutations=20, generator=generator, folder=tmp_path)

    return run


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 130] ^= 1  # of the first array, behind its header
    path.write_bytes(content)


@pytest.mark.parametrize("harm", ["swapped", "flipped", "cut", "manifest"])
def test_a_harmed_chunk_is_made_again_and_alone(search, tmp_path, harm, monkeypatch):
    whole, files = search().maps(), sorted(tmp_path.glob("chunk_*.npz"))
    assert len(files) == 3
    if harm == "swapped":
        os.rename(files[0], tmp_path / "x")
        os.rename(files[1], files[0])
        os.rename(tmp_path / "x", files[1])
    elif harm == "flipped":
        flip_a_byte(files[0])
    elif harm == "cut":
        files[0].write_bytes(files[0].read_bytes()[:100])
    else:
        (tmp_path / "manifest.json").write_text("{")
    again, do_chunk = [], chunks.do_chunk
    monkeypatch.setattr(chunks, "do_chunk", lambda work, store, i: again.append(i) or do_chunk(work, store, i))
    found = search().maps()
    for name, values in whole.items():
        assert torch.equal(found[name], values), name
    assert again == {"swapped": [0, 1], "manifest": []}.get(harm, [0])
    assert json.loads((tmp_path / "manifest.json").read_text())["n_chunks"] == 3


def test_a_changed_distance_of_ones_own_is_another_searchlight(rng, tmp_path):
    lights = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    patterns, models = torch.randn(8, 6, generator=rng), RDMs(torch.rand(1, 28, generator=rng))
    code = "from brainnet.rsa import DISTANCES\n\n\ndef mine(patterns):\n    return DISTANCES['{}'](patterns)\n"
    own = tmp_path / "own.py"
    own.write_text(code.format("euclidean"))
    how = {"metric": f"{own}:mine", "folder": tmp_path / "chunks", "progress": False}
    found = searchlight(patterns, models, lights, **how)
    assert torch.equal(found.score, searchlight(patterns, models, lights, metric="euclidean", progress=False).score)
    own.write_text(code.format("manhattan"))
    with pytest.raises(ValueError, match="another searchlight"):
        searchlight(patterns, models, lights, **how)
