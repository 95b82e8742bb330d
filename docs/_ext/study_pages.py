"""The figure of each study for its page: its small form runs when the site is built, where the data it needs are.

``docs/_studies/NAME.md`` is what the page of a study (``made_pages.py``) includes: the picture, or a sentence on the
data that are missing. A study whose files are as they were is not run again.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).resolve().parents[2]
CAPTION = (
    "This is the small form of the study, which ran when the page was built. `python -m studies {name} --out results` "
    "draws the figure of the default form, whose numbers stand above."
)
log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Hooks of the extension."""
    app.connect("config-inited", _write_figures, priority=20)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_figures(app: Sphinx, config) -> None:
    sys.path.insert(0, str(ROOT))
    from studies import form

    for name in form.studies():
        write_figure(name, Path(app.srcdir) / "_studies")


def write_figure(name: str, folder: Path) -> None:
    """Writes the picture of a study and what its page includes, unless they are of the same files already."""
    from studies import form

    folder.mkdir(exist_ok=True)
    files = sorted(path for path in (form.FOLDER / name).iterdir() if path.suffix in (".py", ".yaml"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    seal, picture, text = (folder / f"{name}.{kind}" for kind in ("sha256", "png", "md"))
    if seal.exists() and seal.read_text() == digest and picture.exists():
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the machine that builds the site
            log.info("study %s: its small form", name)
            _, figure = form.run(name, "small", form.data_folder(None))
    except (form.MissingData, ModuleNotFoundError) as error:
        picture.unlink(missing_ok=True)
        seal.unlink(missing_ok=True)
        of_data = isinstance(error, form.MissingData)
        missing = str(error).partition("the folder ")[2].split()[0] if of_data else error.name or str(error)
        what = f"data are: the folder `{missing}`" if of_data else f"packages are: `{missing}`"
        log.info("study %s: no figure, since %s is missing", name, missing)
        text.write_text(f"The figure is drawn where its {what} was missing here.\n")
        return
    figure.savefig(picture, dpi=150)
    text.write_text(f"![Figure of the study {name}](/_studies/{name}.png)\n\n{CAPTION.format(name=name)}\n")
    seal.write_text(digest)
