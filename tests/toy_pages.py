"""The lines of the site's pages, and what a test prepares so that they run, on small data."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np

from tests.toy_files import shell_lines, smaller, write_pictures, write_toy_files

DOCS = Path(__file__).resolve().parents[1] / "docs"
# what a reader runs -> what a test runs: the same code, smaller
SMALLER_PYTHON = {
    "SimulatedSubject(seed=0)": "SimulatedSubject(0, n_train=40, n_val=10, n_test=12, n_voxels=60, progress=False)",
    "max_epochs=15": "max_epochs=1, enable_progress_bar=False, logger=False, accelerator='cpu'",
}
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def written_pages() -> list[Path]:
    """The pages that somebody wrote: all but those that are made from the package."""
    made = ("generated", "datasets", "gallery", "_build", "_examples", "_studies")
    return sorted(path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in made)


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Kind and code of the blocks of a page that run, in their order: ``bash`` and ``python``, not marked ``notest``.

    >>> blocks_of("```bash\\nls\\n```\\n```python notest\\nno\\n```\\n")
    [('bash', 'ls\\n')]
    """
    return [(found[1], found[2]) for found in _BLOCK.finditer(text)]


def smaller_python(code: str) -> str:
    """The same code with less to compute."""
    for usual, small in SMALLER_PYTHON.items():
        code = code.replace(usual, small)
    return code


def steps_of(text: str) -> list[tuple[str, str]]:
    """What a page makes its reader run, made small: command lines one by one, and blocks of Python."""
    steps = []
    for kind, code in blocks_of(text):
        if kind == "python":
            steps.append((kind, smaller_python(code)))
            continue
        steps += [(kind, smaller(line)) for line in shell_lines(f"```bash\n{code}```\n")]
    return steps


def run_page(page: Path, folder: Path, python: str, env: dict[str, str], timeout: float = 900) -> None:
    """Runs all steps of a page in one process, in a folder with the data that it speaks of.

    Raises:
        AssertionError: a step failed; it says which, with what was printed.
    """
    write_toy_files(folder)
    for write in PREPARE.get(page.relative_to(DOCS).as_posix(), []):
        write(folder)
    (folder / "steps.json").write_text(json.dumps(steps_of(page.read_text())))
    (folder / "runner.py").write_text(_RUNNER)
    done = subprocess.run(
        [python, "runner.py"], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, f"{page.name}\n{done.stdout[-2500:]}\n{done.stderr[-3000:]}"


# One process for all steps of a page: the import of torch is most of what a small command costs.
_RUNNER = """
import json, subprocess, sys
from pathlib import Path

names = {"__name__": "__main__"}
for kind, code in json.loads(Path("steps.json").read_text()):
    print("STEP:", code, flush=True)
    if kind == "python":
        exec(compile(code, "page", "exec"), names)
    elif code.startswith("brainnet "):
        split = ["bash", "-c", 'printf "%s\\\\n" ' + code]
        sys.argv = subprocess.run(split, capture_output=True, text=True, check=True).stdout.splitlines()
        from brainnet.cli.app import main

        try:
            main()
        except SystemExit as stop:
            if stop.code:
                raise
    else:
        subprocess.run(["bash", "-c", code], check=True)
"""


def _write_nsd(folder: Path) -> None:
    from tests.dataset.readers.nsd_folder import write_volume

    write_volume(folder / "nsd", n_sessions=1, n_places=80)


def _write_things(folder: Path) -> None:
    from tests.dataset.readers.things_folder import write_things

    write_things(folder / "things")


def _write_eeg(folder: Path) -> None:
    from tests.dataset.readers.things_eeg_folder import write_things_eeg2

    write_things_eeg2(folder / "things_eeg")


def _write_trials(folder: Path) -> None:
    """Pictures, each shown twice in one of three runs, with responses in the columns of the table."""
    random = np.random.default_rng(0)
    (folder / "my_trials" / "images").mkdir(parents=True)
    brightness = write_pictures(folder / "my_trials" / "images", 24, random)
    rows = ["image,run,left,right"]
    for run in range(3):
        for i in [*range(run, 24, 3), *range(run, 24, 3)]:
            left, right = brightness[i] * np.array([1.0, 2.0]) + 0.1 * random.normal(size=2)
            rows.append(f"picture{i},{run},{left:.4f},{right:.4f}")
    (folder / "my_trials" / "trials.csv").write_text("\n".join(rows) + "\n")


def _write_story(folder: Path) -> None:
    """Three runs in which a text is shown every three seconds, and a table of new texts."""
    from brainnet.dataset.simulation.sentences import sentences

    random = np.random.default_rng(0)
    (folder / "story" / "runs").mkdir(parents=True)
    rows, texts = ["run,onset,duration,text"], iter(sentences(70, random))
    for run in ("run1", "run2", "run3"):
        np.save(folder / "story" / "runs" / f"{run}.npy", random.normal(size=(34, 6)))
        rows += [f"{run},{3 * i},3,{next(texts)}" for i in range(20)]
    (folder / "story" / "stimuli.csv").write_text("\n".join(rows) + "\n")
    new = ["text,onset,duration", *(f"{next(texts)},{3 * i},3" for i in range(10))]
    (folder / "new_story.csv").write_text("\n".join(new) + "\n")


def _write_features(folder: Path) -> None:
    random = np.random.default_rng(0)
    names = [f"picture{i}" for i in range(24)]
    np.savez(folder / "my_features.npz", images=names, layer1=random.normal(size=(24, 6)))


PREPARE = {
    "howto/nsd.md": [_write_nsd],
    "howto/things.md": [_write_things],
    "howto/meeg.md": [_write_eeg],
    "howto/series.md": [_write_story],
    "bring/data.md": [_write_trials],
    "bring/network.md": [_write_features],
}
