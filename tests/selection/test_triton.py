"""The GPU kernels, checked in a process of their own: Triton's interpreter must be chosen before Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from brainnet.selection import read_out

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("triton")


def run_kernels(interpret, select):
    """The checks of triton_kernels.py, which pytest does not collect by itself."""
    checks = "tests/selection/triton_kernels.py"
    command = [sys.executable, "-m", "pytest", checks, "-q", "-p", "no:cacheprovider", "-m", select]
    environment = os.environ | {"TRITON_INTERPRET": "1" if interpret else "0", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_kernels_agree_with_the_reference_in_the_interpreter():
    run_kernels(interpret=True, select="not gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernels_agree_with_the_reference_on_the_gpu():
    run_kernels(interpret=False, select="gpu or not gpu")


def test_triton_is_imported_only_where_it_is_used():
    code = (
        "import sys, torch, brainnet.model\n"
        "from brainnet.selection import read_out\n"
        "one = torch.ones(1, 1)\n"
        "read_out(torch.ones(1, 1, 1, 2, 2), torch.ones(1, 1, 1), one, torch.zeros(1, 2), one, one)\n"
        "sys.exit('brainnet.selection.triton' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("n_layers", "width", "message"), [(60, None, "implementation='cells'"), (1, torch.ones(3, 1), "samples points")]
)
def test_what_the_kernels_cannot_do_is_said(n_layers, width, message):
    local, global_ = torch.zeros(1, n_layers, 256, 2, 2), torch.zeros(1, n_layers, 256)
    selectors = torch.ones(3, n_layers), torch.zeros(3, 2), torch.zeros(3, 1)
    with pytest.raises(ValueError, match=message):
        read_out(local, global_, *selectors, torch.zeros(3, 256), width=width, implementation="triton")
