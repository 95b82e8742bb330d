"""Everything that needs a GPU, in one command: every test marked ``gpu``, then the measurements, small sizes first.

Each part is a process of its own, prints as it ends, and is cut off where nine minutes in all are over. The exit code
is 1 where a test or a part failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import measure, report, seconds, table

SECONDS = 540  # of all parts together
ROOT = Path(__file__).resolve().parents[1]


def parts(device: str, small: bool) -> dict[str, list[str]]:
    """Name -> words after ``python``, in the order in which they run."""
    step = ["-m", "benchmarks", "step", "--device", device, "--repeats", "5", "--no-memory", "--sizes"]
    fit = ["-m", "benchmarks", "fit", "--device", device]
    little = ["--images", "64", "--batch-size", "16", "--voxels", "500", "--layers", "3", "--width", "32"]
    own = ["-m", "benchmarks", "gpu", "--device", device, "--part"]
    graph = ["--cuda-graph"] if device == "cuda" else []
    found = {
        "tests": ["-m", "pytest", "-q", "-n", "0", "-m", "gpu", "-rs", *marked()],
        "step, small": [*step, "tiny"],
        "fit, small": [*fit, *little],
        "extraction, small": [*own, "extraction", "--small"],
        "ridge, small": [*own, "ridge", "--small"],
        "RSA, small": [*own, "rsa", "--small"],
    }
    if not small:
        full = ["--images", "512", "--precision", "bf16"]
        found |= {
            "ridge": [*own, "ridge"],
            "RSA": [*own, "rsa"],
            "extraction": [*own, "extraction"],
            "step": [*step, "demo", "small", "full8"],
            "fit": [*fit, *full],
            "fit with a CUDA graph": [*fit, *full, *graph],
            "step, large batch": [*step, "full32"],
        }
    return found


def marked() -> list[str]:
    """Files with tests that need a GPU: to collect all the others takes a minute."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    return [str(path.relative_to(ROOT)) for path in tests if "mark.gpu" in path.read_text(encoding="utf-8")]


def run_parts(device: str, small: bool, limit: float) -> tuple[list[list[str]], list[str], bool]:
    """A row for each part, what each printed, and whether all went well."""
    rows, texts, well, end = [], [], True, time.monotonic() + limit
    for name, words in parts(device, small).items():
        began = time.monotonic()
        if began > end:
            rows.append([name, "not begun", "-"])
            continue
        try:
            done = subprocess.run(
                [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=end - began, check=False,
            )  # fmt: skip
            said, state = done.stdout, "ok" if done.returncode == 0 else f"failed ({done.returncode})"
            well &= done.returncode == 0
        except subprocess.TimeoutExpired as cut:
            said, state = (cut.stdout or b"").decode(errors="replace"), "cut off"
            well &= name != "tests"  # a measurement may be cut off, a test that did not end has not passed
        rows.append([name, state, seconds(time.monotonic() - began)])
        texts.append(f"## {name}: {state}\n\n{said.strip()[-6000:]}")
        print(texts[-1], flush=True)
    return rows, texts, well


# ---------------------------------------------------------------------- measurements without a file of their own


def extraction(device: str, small: bool) -> tuple[str, dict[str, Callable[[], object]]]:
    """Tokens of a network for images in memory."""
    from brainnet.backbone import build_backbone
    from brainnet.stimuli import Images
    from brainnet.store import TokenStore

    name, n = ("expansion:small", 64) if small else ("timm:vit_base_patch16_224", 1024)
    network = build_backbone(name, **({} if small else {"weights": "random"}))
    network = network.to(device) if isinstance(network, torch.nn.Module) else network
    images = Images((torch.rand(n, 3, 224, 224) * 255).to(torch.uint8))
    return f"{n} images, {name}", {
        f"TokenStore.build, batches of {size}": lambda size=size: TokenStore.build(
            network, images, batch_size=size, progress=False
        )
        for size in (16, 64)
    }


def ridge(device: str, small: bool) -> tuple[str, dict[str, Callable[[], object]]]:
    """Ridge with a penalty per voxel, and banded ridge."""
    from brainnet.ridge import BandedRidgeCV, RidgeCV

    n, f, v = (200, 50, 100) if small else (4000, 4000, 20_000)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, f, generator=generator).to(device)
    y = (x[:, :v].repeat(1, -(-v // f))[:, :v] + torch.randn(n, v, generator=generator).to(device)).contiguous()
    bands = {"a": x[:, : f // 2], "b": x[:, f // 2 :]}
    found = {"RidgeCV": lambda: RidgeCV().fit(x, y)}
    if small:
        found["BandedRidgeCV"] = lambda: BandedRidgeCV().fit(bands, y)
    return f"{n} images, {f} features, {v:,} voxels", found


def rsa(device: str, small: bool) -> tuple[str, dict[str, Callable[[], object]]]:
    """RDMs of features, and their comparison with a thousand others."""
    from brainnet.rsa import RDMs, compare, rdm

    n, f, k = (30, 200, 20) if small else (1000, 20_000, 100)
    features = torch.randn(n, f, generator=torch.Generator().manual_seed(0)).to(device)
    model = rdm(features, "correlation")
    others = RDMs(torch.rand(k, n * (n - 1) // 2, generator=torch.Generator().manual_seed(1)).to(device))
    return f"{n} conditions, {f} features, {k} brain RDMs", {
        "rdm, correlation": lambda: rdm(features, "correlation"),
        "rdm, euclidean": lambda: rdm(features, "euclidean"),
        "compare, spearman": lambda: compare(model, others, "spearman"),
    }


PARTS = {"extraction": extraction, "ridge": ridge, "rsa": rsa}


def one_part(name: str, device: str, small: bool) -> None:
    """Measures and prints one of ``PARTS``."""
    title, functions = PARTS[name](device, small)
    taken = measure(functions, repeats=3, after=torch.cuda.synchronize if device == "cuda" else None)
    rows = [[what, seconds(took.wall), seconds(took.fastest), seconds(took.cpu)] for what, took in taken.items()]
    print(f"{title}, {device}\n\n{table(['what', 'wall', 'fastest', 'CPU'], rows)}")


def main(argv: list[str] | None = None) -> int:
    """Runs all parts, or says in one line that there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to see that the script runs")
    parser.add_argument("--small", action="store_true", help="small sizes only")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of all parts together")
    parser.add_argument("--part", choices=PARTS, help="one measurement in this process")
    parser.add_argument("--out", nargs="?", const="", help="save the tables, by default in benchmarks/results/gpu.md")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch.cuda.is_available() is False here, so nothing was run.")
        return 0
    if args.part:
        one_part(args.part, args.device, args.small)
        return 0
    rows, texts, well = run_parts(args.device, args.small, args.seconds)
    report("gpu", [table(["part", "result", "wall"], rows), *texts], out=args.out)
    print(table(["part", "result", "wall"], rows))
    return 0 if well else 1
