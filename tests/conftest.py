"""Fixtures every room shares: the real test data, where it is there, and a seeded generator."""

from __future__ import annotations

import os
from pathlib import Path

# one thread per worker: the workers share the cores, and threads of several would wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("untimed", deadline=None)  # on a busy machine a test of a millisecond takes many
hypothesis.settings.load_profile("untimed")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a shell's background job ignores ctrl-C; what tests start must not
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real data, from $BRAINNET_TEST_DATA or beside the checkout; skips where neither exists."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("BRAINNET_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no real test data: set BRAINNET_TEST_DATA to a folder that holds it")
    return folder


@pytest.fixture
def rng() -> torch.Generator:
    """A generator seeded with 0; nothing in the suite touches the global one."""
    return torch.Generator().manual_seed(0)
