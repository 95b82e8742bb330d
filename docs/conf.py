"""How Sphinx builds the site: ``python -m pip install -e ".[docs]" && sphinx-build -n -W docs docs/_build``."""

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))

import brainnet  # noqa: E402  (of this checkout)

warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # one that grew is replaced by another

project = "brainnet"
author = "the authors of brainnet"
release = version = brainnet.__version__
copyright = "MIT license"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "myst_parser",
    "brainnet_site",
    "formulas",
    "study_pages",
]
exclude_patterns = [
    "_build",
    "_examples",
    "_ext",
    "_studies",
    "gallery/*.py",
    "gallery/*.ipynb",
    "releases/[0-9]*",
    "README.md",
]
suppress_warnings = ["config.cache"]  # the settings of the gallery hold functions

smartquotes = False  # what a reader copies, such as --out "a b", keeps its hyphens and quotes
html_theme = "furo"
html_title = "brainnet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathtext"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_block"]
myst_heading_anchors = 4
pygments_style = "friendly"
pygments_dark_style = "github-dark"

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False  # the hooks of Lightning and of torch are described there
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # an attribute that is a property too is described once
napoleon_custom_sections = [("Returned values", "params_style")]
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

sphinx_gallery_conf = {
    "examples_dirs": "_examples",  # copies, so that what the scripts write stays out of examples/
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]\d+_\w+\.py",
    "within_subsection_order": "gallery_order.ReadingOrder",
    "image_scrapers": ("gallery_pictures",),
    "capture_repr": (),
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("brainnet",),
    "log_level": {"backreference_missing": "info"},
    "remove_config_comments": True,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 0,
    "write_computation_times": False,  # that page asks other servers for scripts
    "plot_gallery": "True",
    "parallel": True,  # as many examples at once as `sphinx-build -j` says
}

# Names of other packages, which this site does not describe. There is no intersphinx: the site is built offline.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|torchvision|np|numpy|npt|scipy|pd|pandas|matplotlib|plt|PIL|pl|pytorch_lightning|lightning|yacs"
               r"|nibabel|sklearn|joblib|typer|safetensors|h5py|zipfile|mne)(\..*)?"),
    (r"py:.*", r"Tensor|Figure|Axes|Colormap|DataFrame|Path|CfgNode|Generator|Dataset"),  # the same, without a module
    (r"py:.*", r"(collections\.abc|typing|types|pathlib|os|functools|contextlib|logging|io|subprocess)\..*"),
]  # fmt: skip
