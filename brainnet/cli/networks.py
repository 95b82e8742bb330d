"""Commands of one network: extract, classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Classes,
    DataSet,
    Device,
    Every,
    FamilyOptions,
    Force,
    Fps,
    Grid,
    ImageSize,
    ImageSource,
    Layout,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Rows,
    SkipBad,
    Step,
    StimulusSource,
    Window,
    app,
    family_options,
    images_of,
    out_console,
    stimuli_from,
)

Network = Annotated[
    str,
    typer.Option(
        "--backbone", "-b", help="Network: family:variant, or family:variant=weights. `brainnet backbones` lists all."
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        "-l",
        help="Name of a layer, a pattern, conv_ensemble or maxpool_ensemble. Repeat the option for several layers.",
    ),
]
Reduce = Annotated[
    str | None,
    typer.Option(
        help="Steps on the features, with plus signs between them: srp:2000 (random projection), pca:100, center, "
        "normalize, glocal:FILE. If a folder of features is given, its steps are taken again for new images."
    ),
]
Train = Annotated[
    Path | None,
    typer.Option(
        help="File with names of images, one on each line. Components and means are learned from these images alone."
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="Format of the files: npy, npz, h5, hdf5, mat, csv, txt, pt, safetensors or zarr. Or the layout of "
        "another tool: net2brain, net2brain-separate or thingsvision.",
    ),
]

Pool = Annotated[
    str,
    typer.Option(
        help="How tokens become features: native, grid, mean (of places or patches), max, class (token), both, "
        "all, registers (their mean), or attention. The last is the output of the network's own attention pool, "
        "if it has one (CLIP's ResNets, SigLIP, CoCa)."
    ),
]


@app.command()
def extract(
    stimuli: StimulusSource,
    backbone: Network,
    out: Out = Path("features"),
    layer: Layers = None,
    pool: Pool = "native",
    grid: Grid = None,
    reduce: Reduce = None,
    train: Train = None,
    file_format: Format = "npy",
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images that the network sees at a time.")] = 16,
    device: Device = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Number of processes on each machine. Each has a device of its own.")
    ] = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Number of machines. All of them see the same folder.")] = 1,
    precision: Precision = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights of a network with random weights.")] = None,
    option: FamilyOptions = None,
    window: Window = None,
    step: Step = None,
    keep_tokens: Annotated[
        bool, typer.Option("--keep-tokens", help="Keep the token store, tokens.bin, beside the features.")
    ] = False,
    overwrite: Overwrite = False,
    force: Force = False,
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    classes: Classes = None,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
) -> None:
    """Write a network's features of images, texts, sounds or videos, one file for each layer.

    brainnet extract images/ --backbone torchvision:squeezenet1_0 --pool mean --out features

    brainnet extract story.csv --backbone transformers:gpt2 --option steps=1 --out features

    The network decides what is read. With video: before its name, a network of images reads videos frame by frame.

    Features are all activations of each layer: channels x height x width numbers for each image. The options --grid,
    --pool and --reduce make them fewer.

    The same line goes on where an interrupted one stopped.

    For several machines, run the same line on each of them, under torchrun or Slurm, or say where the first one is:

    MASTER_ADDR=first MASTER_PORT=29500 NODE_RANK=0 brainnet extract ... --num-nodes 2    (NODE_RANK=1 on the second)
    """
    with loading():
        import brainnet
        from brainnet.run.stimuli import TARGETS

    family = family_options(option)
    pictures = stimuli_from(
        stimuli, backbone, skip_bad, rows, window=window, step=step, options=family, layout=layout, classes=classes,
        key=key, fps=fps, every=every,
    )  # fmt: skip
    written = brainnet.extract(
        backbone, pictures, out, skip_bad=skip_bad, layers=layer, pool=pool, grid=grid or None, reduce=reduce,
        train=None if train is None else train.read_text(encoding="utf-8").splitlines(), format=file_format,
        batch_size=batch_size, device=device, devices=devices, num_nodes=num_nodes, keep_tokens=keep_tokens,
        overwrite=overwrite, force=force, progress=not quiet,
        precision=precision, image_size=image_size or None, seed=seed, **family,
    )  # fmt: skip
    beside = [out / "images.txt", *(out / name for name in TARGETS if (out / name).is_file())]
    if written:
        out_console.print("\n".join(str(path) for path in [*written.values(), *beside]), highlight=False)


@app.command()
def classify(
    images: ImageSource,
    backbone: Network,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the results.")] = Path("classes.json"),
    top_k: Annotated[int, typer.Option(min=1, help="Number of classes of each image.")] = 5,
    names: Annotated[
        Path | None,
        typer.Option(
            help="File with the names of the classes, one on each line. The default is the "
            "names of ImageNet, if their number fits."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images that the network sees at a time.")] = 16,
    device: Device = None,
    precision: Precision = None,
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
) -> None:
    """Name the most probable classes of images, with their probabilities.

    brainnet classify images/ --backbone torchvision:resnet50 --out classes.json
    """
    with loading():
        from brainnet.run.extraction.classes import classify as classes_of

    pictures = images_of(images, skip_bad, rows, layout=layout, key=key, fps=fps, every=every)
    found = classes_of(
        backbone, pictures, out, skip_bad=skip_bad, top_k=top_k,
        names=None if names is None else names.read_text(encoding="utf-8").splitlines(), batch_size=batch_size,
        device=device, precision=precision, progress=not quiet,
    )  # fmt: skip
    for name, chances in list(found.items())[:10]:
        line = ", ".join(f"{one} {chance:.3f}" for one, chance in chances.items())
        out_console.print(f"{name}: {line}", highlight=False, soft_wrap=True)
    out_console.print(str(out), highlight=False)
