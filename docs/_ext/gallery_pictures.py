"""The pictures of a gallery page are the files that its script saves: figures of brainnet are values, not windows.

Several scripts run at once in one folder, each in a process of its own. A page takes the pictures that its own process
wrote.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

# hints of Lightning to the machine that builds the gallery; here, as a process of `sphinx-build -j` reads no conf.py
warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")

_written: list[str] = []  # pictures that this process has opened to write, or has renamed to, in their order


def _listen(event: str, args: tuple) -> None:
    path = args[0] if event == "open" else args[1] if event == "os.rename" else None
    if not isinstance(path, (str, Path)) or not str(path).endswith(".png"):
        return
    reads = event == "open" and isinstance(args[1], str) and not set("wxa+") & set(args[1])
    if not reads:
        _written.append(str(Path(path).absolute()))


sys.addaudithook(_listen)


class SavedPictures:
    """Scraper of sphinx-gallery that takes the ``.png`` files which a block of a script wrote."""

    def __repr__(self) -> str:
        return "SavedPictures()"

    def __call__(self, block: tuple, block_vars: dict, gallery_conf: dict) -> str:
        """The directives that show the pictures which are new since the last block."""
        from sphinx_gallery.scrapers import figure_rst

        new = dict.fromkeys(map(Path, _written))
        targets = block_vars["image_path_iterator"]
        shown = []
        for path in sorted(
            (path for path in new if path.parent == Path.cwd() and path.exists()),
            key=lambda path: path.stat().st_mtime_ns,
        ):
            shown.append(next(targets))
            shutil.move(path, shown[-1])
        _written.clear()  # moving wrote pictures as well
        return figure_rst(shown, gallery_conf["src_dir"])


def _get_sg_image_scraper() -> SavedPictures:
    return SavedPictures()
