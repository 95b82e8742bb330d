"""What extracting features to files costs beside the bare network, and how much memory each format takes.

Bare means: decode a batch of pictures, run the modules up to the layer, keep nothing. THINGSvision is measured where it
is installed in an environment of its own (``--thingsvision PYTHON``), in the same run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image

import brainnet
from benchmarks import measure, ratio, report, seconds, table
from benchmarks.store import photographs
from brainnet.backbone import build_backbone
from brainnet.cli.process import keep_freed_memory
from brainnet.run.extraction.extraction import FORMATS
from brainnet.tokens import Preprocessing

BATCH = 16
FEW, MANY = 200, 2000  # pictures between which memory must not grow
CHANNELS, SIDE = 64, 14  # of the layer whose memory is measured: 12,544 features, 100 MB for the many
THINGSVISION = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import torch
torch.set_num_threads(int(sys.argv[3]))
from thingsvision import get_extractor
from thingsvision.utils.data import DataLoader, ImageDataset
from thingsvision.utils.storing import save_features
model = get_extractor(model_name="vit_small_patch16_224", source="timm", device="cpu", pretrained=False)
def run():
    transforms = model.get_transformations()
    pictures = ImageDataset(root=sys.argv[1], out_path=sys.argv[2], backend="pt", transforms=transforms)
    batches = DataLoader(dataset=pictures, batch_size=16, backend="pt")
    features = model.extract_features(batches=batches, module_name="blocks.5", flatten_acts=True)
    save_features(features, out_path=sys.argv[2], file_format="npy")
run()
taken = []
for _ in range(int(sys.argv[4])):
    began = time.process_time()
    run()
    taken.append(time.process_time() - began)
print("CPU", json.dumps(sorted(taken)[len(taken) // 2]))
"""


def prefixes() -> dict[str, tuple[str, str, Callable, Callable]]:
    """Name -> network, layer, the bare modules up to the layer, and the whole network, as functions of the network."""

    def until_avgpool(network):
        return torch.nn.Sequential(*list(network.children())[:-1])

    def until_block(network):
        def run(images):
            tokens = network.norm_pre(network.patch_drop(network._pos_embed(network.patch_embed(images))))
            for block in network.blocks[:6]:
                tokens = block(tokens)
            return tokens

        return run

    return {
        "resnet18 avgpool": ("torchvision:resnet18", "avgpool", until_avgpool, lambda network: network),
        "ViT-S/16 blocks.5": ("timm:vit_small_patch16_224", "blocks.5", until_block, lambda network: network),
    }


def timing(n_images: int, repeats: int, folder: Path, thingsvision: str | None) -> str:
    """Extraction of a layer from JPEG files beside the bare network."""
    (folder / "pictures").mkdir()
    paths = photographs(n_images, folder / "pictures")
    rows = []
    for name, (network, layer, prefix, whole) in prefixes().items():
        backbone = build_backbone(network, layers=[layer], weights="random")
        preprocessing = backbone.preprocessing

        def bare(modules: Callable, preprocessing: Preprocessing = preprocessing) -> None:
            with torch.no_grad():
                for i in range(0, n_images, BATCH):
                    modules(torch.stack([preprocessing(Image.open(path)) for path in paths[i : i + BATCH]]))

        def ours(backbone=backbone, layer=layer) -> None:
            out = tempfile.mkdtemp(dir=folder)  # a new one each time: removing an old result is no part of the work
            brainnet.extract(backbone, folder / "pictures", out, layers=[layer], batch_size=BATCH,
                             device="cpu", progress=False)  # fmt: skip

        first_modules, all_modules = prefix(backbone.network), whole(backbone.network)
        runs = {"bare prefix": partial(bare, first_modules), "bare whole network": partial(bare, all_modules),
                "extract": ours}  # fmt: skip
        timings = measure(runs, repeats=repeats)
        found, first, full = (timings[key] for key in ("extract", "bare prefix", "bare whole network"))
        theirs = "-"
        if thingsvision is not None and layer == "blocks.5":
            theirs = ratio(found.cpu / thingsvision_seconds(thingsvision, folder, repeats))
        rows.append([name, seconds(found.cpu), ratio(found.cpu / first.cpu), ratio(found.wall / first.wall),
                     ratio(found.cpu / full.cpu), theirs])  # fmt: skip
    header = [
        "layer",
        "extract, CPU",
        "of bare prefix, CPU",
        "wall",
        "of bare whole network, CPU",
        "of THINGSvision, CPU",
    ]
    return "\n\n".join(
        [
            f"## {n_images} JPEG files of 425 x 425 to one .npy file, in batches of {BATCH}",
            table(header, rows),
            f"Random weights; medians of {repeats}. Bare is decoding and forward passes alone; extract also hashes the "
            "weights and the pictures, writes and seals the file, and can go on after a kill.",
        ]
    )


def thingsvision_seconds(python: str, folder: Path, repeats: int) -> float:
    """CPU seconds of the same with THINGSvision, which runs the whole network."""
    out = folder / "theirs"
    out.mkdir(exist_ok=True)
    call = [python, "-c", THINGSVISION, str(folder / "pictures"), str(out), str(torch.get_num_threads()), str(repeats)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    found = [line for line in done.stdout.splitlines() if line.startswith("CPU ")]
    if not found:  # the rest is worth printing all the same
        print(f"THINGSvision did not run: {done.stderr[-500:]}", file=sys.stderr)
        return float("nan")
    return json.loads(found[0][4:])


class Noise:
    """Pictures that are drawn when they are asked for, so that none takes memory."""

    preprocessing = Preprocessing((SIDE, SIDE))

    def __init__(self, n_images: int):
        self.image_ids = [str(i) for i in range(n_images)]

    def image(self, index: int, preprocessing: Preprocessing) -> torch.Tensor:
        """Picture ``index`` as a tensor."""
        return torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(index))

    def signature(self) -> str:
        """The same for the same pictures."""
        return f"noise {len(self.image_ids)}"


class Wide:
    """A network whose one layer has many features."""

    preprocessing = Noise.preprocessing
    layers = ("wide",)

    def get_tokens(self, images: torch.Tensor) -> tuple[dict, dict]:
        """Each channel of the pictures many times."""
        local = {"wide": images.repeat(1, -(-CHANNELS // 3), 1, 1)[:, :CHANNELS]}
        return local, {"wide": local["wide"].mean((2, 3))}


def peak_of(n_images: int, file_format: str) -> float:
    """The most memory this process has held, in MB, once it has extracted so many pictures (Linux).

    What getrusage says of a process counts what its parent held when it was started.
    """
    with tempfile.TemporaryDirectory() as folder:
        brainnet.extract(
            Wide(), Noise(n_images), Path(folder) / "out", format=file_format, device="cpu", progress=False
        )
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024 / 1e6


def memory(formats: list[str]) -> str:
    """Peak memory of a process that extracts few and many pictures, in every format."""
    rows = []
    for file_format in formats:
        few, many = (measured_peak(n, file_format) for n in (FEW, MANY))
        rows.append([file_format, f"{few:.0f} MB", f"{many:.0f} MB", f"{many - few:+.0f} MB"])
    size = 4 * CHANNELS * SIDE * SIDE * MANY / 1e6
    return "\n\n".join(
        [
            f"## Peak memory of the process, for {FEW} and {MANY:,} pictures",
            table(["format", f"{FEW}", f"{MANY:,}", "more"], rows),
            f"The features of {MANY:,} pictures are {size:.0f} MB.",
        ]
    )


def measured_peak(n_images: int, file_format: str) -> float:
    """:func:`peak_of` in a process of its own."""
    call = [sys.executable, "-m", "benchmarks", "extraction", "--peak", file_format, "--images", str(n_images)]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return float(done.stdout.split()[-1])


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks extraction", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="pictures that are timed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--thingsvision", help="a Python that has THINGSvision")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), help="whose memory is measured")
    parser.add_argument("--peak", help="only print the peak memory of this process for a format")
    parser.add_argument("--out", nargs="?", const="", help="save, by default in benchmarks/results/extraction.md")
    options = parser.parse_args(argv)
    if options.thingsvision and not shutil.which(options.thingsvision):
        parser.error(f"--thingsvision: {options.thingsvision} is no program that can be run")
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as the command line does: fresh pages for every batch cost as much as all the rest
    logging.getLogger("brainnet").setLevel(logging.WARNING)
    if options.peak:
        print(f"{peak_of(options.images, options.peak):.1f}")
        return
    sections = []
    if options.repeats:
        with tempfile.TemporaryDirectory() as folder:
            sections.append(timing(options.images, options.repeats, Path(folder), options.thingsvision))
    if options.formats:
        sections.append(memory(options.formats))
    report("extraction", sections, out=options.out)
