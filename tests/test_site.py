"""The site's pages: each has an example, links lead somewhere, and what is made from the package says all of it."""

from __future__ import annotations

import ast
import codeop
import os
import re
import subprocess
import sys
import tokenize
from itertools import pairwise
from pathlib import Path

import pytest

from tests.tables import listed_tables, unlisted_columns
from tests.toy_files import shell_lines
from tests.toy_pages import DOCS, blocks_of, run_page, written_pages

ROOT = DOCS.parent
PAGES = written_pages()
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]


@pytest.fixture
def made(monkeypatch):
    """The modules that make pages."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import api_pages
    import made_pages

    return api_pages, made_pages


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_page_has_an_example(page):
    text = page.read_text()
    assert blocks_of(text) or "```{include}" in text
    for kind, code in blocks_of(text):
        if kind == "python":
            compile(code, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_block_of_python_can_be_pasted_at_the_prompt(page):
    """At Python's prompt a blank line ends a loop: without one, the next line is a syntax error before Python 3.13."""
    for kind, code in blocks_of(page.read_text()):
        typed: list[str] = []
        for line in [*code.splitlines(), ""] if kind == "python" else []:
            typed.append(line)
            if codeop.compile_command("\n".join(typed), page.name, "single") is not None:
                typed = []
        assert typed == []


def test_the_columns_that_training_logs_are_listed():
    """Also those that a run of a few steps does not write."""
    logged = set(re.findall(r'"(train_\w+|val_\w+)"', (ROOT / "brainnet/plmodel/module.py").read_text()))
    listed = next(columns for patterns, columns in listed_tables() if "log/metrics.csv" in patterns)
    assert {"train_loss", "train_regulariser"} <= logged <= listed


def test_the_tables_beside_the_figures_of_an_encoding_are_listed():
    """Also those of a time series, of sensors and of models that no page fits."""
    written = re.findall(r'_file\("(\w+)"', (ROOT / "brainnet/run/encoding/figures.py").read_text())
    listed = {pattern for patterns, _ in listed_tables() for pattern in patterns}
    missing = {
        name for name in written if not listed & {f"figures/{name}_*.csv", f"figures/{name.split('_')[0]}_*.csv"}
    }
    assert len(written) > 10
    assert missing == set()


def test_commands_options_and_settings_of_the_pages_exist(made):
    """Also those in the text, which no other test runs."""
    from brainnet.config import config_keys

    commands, settings = made[1].commands(), set(config_keys())
    sections = {key.partition(".")[0] for key in settings}
    options = {
        name: {word for p in one.params for word in [*p.opts, *p.secondary_opts]} for name, one in commands.items()
    }
    groups = {name.rpartition(" ")[0] for name in commands}
    wrong = []
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *DOCS.glob("[!_g]*/*.md")]:
        text = path.read_text().replace("\\\n", " ")
        for line in re.findall(r"(?:^|[`(: ])(brainnet [a-z][^`;&|\n]*)", text, flags=re.MULTILINE):
            words = line.partition(" #")[0].split()
            name = next((name for n in (3, 2) if (name := " ".join(words[:n]).rstrip(":,.")) in options), None)
            if name is None:
                wrong += (
                    [f"{path.name}: {line[:60]}"] if words[0] + " " + words[1] not in groups and "--" in line else []
                )
                continue
            used = {word.partition("=")[0].rstrip(".,:)") for word in words if re.match(r"--[a-z]", word)}
            wrong += [f"{path.name}: {name} {word}" for word in used - options[name] - {"--help"}]
        for key in re.findall(r"\b[A-Z]+\.[A-Z_]+\b", text):
            if key.partition(".")[0] in sections and key not in settings and not key.endswith(".OPTIONS"):
                wrong.append(f"{path.name}: {key}")
    assert wrong == []


def test_no_two_pages_write_different_results_into_one_folder(made):
    """A reader goes through all pages in one folder: no page finds there what another page left."""
    commands, written = made[1].commands(), {}
    for path in [ROOT / "README.md", *PAGES]:
        for line in shell_lines(path.read_text()):
            words = re.sub(r"^torchrun .* -m brainnet ", "brainnet ", line).split()
            name = next((name for n in (3, 2) if (name := " ".join(words[:n])) in commands), "")
            out = next((p for p in commands[name].params if "--out" in p.opts), None) if name else None
            if out is None or name in ("brainnet plot", "brainnet sweep script") or "--help" in words:
                continue
            default = {"brainnet demo": "demo" + "_shuffled" * ("--shuffled" in words)}.get(name, str(out.default))
            at = words.index("--out") if "--out" in words else None
            folder = default if at is None else words[at + 1]
            asked = words if at is None else [*words[:at], *words[at + 2 :]]
            written.setdefault(folder, {}).setdefault(" ".join(asked), path.name)
        for name in re.findall(r"""Path\("([^"]+)"\)\.write_text""", path.read_text()):
            written.setdefault(name, {}).setdefault(path.name, path.name)
    assert {folder: lines for folder, lines in written.items() if len(lines) > 1} == {}
    data = {word for path in PAGES for word in re.findall(r"DATASET\.DATA_DIR (\w+)", path.read_text())}
    assert data & set(written) == set()  # nor data of the reader


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_a_file(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        name = os.path.normpath(page.parent.relative_to(DOCS) / target)
        if name.startswith("gallery/"):
            assert (ROOT / "examples" / Path(name).name).with_suffix(".py").exists() or name.endswith("index.rst"), (
                target
            )
        elif not name.startswith("generated/"):
            assert (DOCS / name).exists(), target


def test_the_site_leaves_hyphens_and_quotes_as_they_are_typed():
    """A command in the text is copied with its two hyphens, and not with a dash."""
    pytest.importorskip("sphinx", reason="the site is built with brainnet[docs]")
    from sphinx.config import Config
    from sphinx.util.tags import Tags

    assert Config.read(DOCS, overrides={}, tags=Tags()).smartquotes is False


def test_a_dash_stands_between_an_argument_and_its_meaning(made):
    pytest.importorskip("sphinx", reason="the site is built with brainnet[docs]")
    from brainnet_site import set_dashes
    from docutils import nodes

    for given in (("values", " -- ", "as of sync --quick"), ("values", " -- as of sync --quick")):
        page = nodes.paragraph("", "", *map(nodes.Text, given))
        set_dashes(None, page)
        assert page.astext() == "values – as of sync --quick"


def test_every_page_is_in_a_table_of_contents():
    listed = {"index.md"}
    for page in PAGES:
        for toc in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in toc.splitlines():
                if line and not line.startswith(":"):
                    listed.add((page.parent.relative_to(DOCS) / f"{line.strip()}.md").as_posix())
    assert [name for name in NAMES if name not in listed] == []


def test_every_command_has_a_page_with_its_options(made):
    texts = made[1].command_texts()
    assert {"brainnet fit", "brainnet rsa compare", "brainnet searchlight group"} <= set(texts)
    for option in ("--config", "--resume", "--page"):
        assert f"`{option}`" in texts["brainnet fit"]
    assert "[cyan]" not in "".join(texts.values())  # markup of the terminal
    for text in texts.values():  # of text, two hyphens become a dash
        assert not re.search(r"--\w", re.sub(r"```text.*?```|`[^`\n]*`", "", text, flags=re.DOTALL))


def test_every_help_text_is_a_sentence_that_names_its_default_in_words(made):
    """A reader whose first language is not English gets whole sentences, one fact in each."""
    for name, command in made[1].commands().items():
        assert command.help, name
        for option in command.params:
            text = getattr(option, "help", None)
            if option.name != "help" and not getattr(option, "hidden", False):
                where = f"{name} {option.opts}: {text}"
                assert text, where
                assert text[0].isupper() or text[0] in "`[", where
                assert text.endswith("."), where
                for cut in ("Default:", "; repeat", "Repeat for several."):
                    assert cut not in text, where


def test_pages_and_help_are_in_american_english(made):
    """One word for one thing is also one spelling; names in code, such as ``generalise``, stay as users wrote them."""
    british = re.compile(
        r"\b(?:un)?(?:\w*(?:neighbour|behaviour|colour|favour|artefact|judgement|labelled|modelled)\w*|centr(?:e[sd]?|ing)|gr"
        r"ey\w*|practis\w+|\w*(?:general|normal|standard|initial|summar|regular|minim)is(?:e[drs]?|ing|ation)\b)",
        flags=re.IGNORECASE,
    )
    texts = {path.name: path.read_text() for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]}
    for name, command in made[1].commands().items():
        texts[name] = "\n".join(
            [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
        )
    for name, text in texts.items():
        words = re.sub(
            r"```.*?^```|`[^`]*`|\]\([^)]*\)|--[\w-]+|\w+,centres|centres,\w+", "", text, flags=re.DOTALL | re.M
        )
        found = british.findall(words.partition("## Words that were replaced")[0])
        assert found == [], name


def test_no_two_words_of_a_text_are_written_as_one():
    """A text over two lines of code has a space between them: "a kernel" "alignment" reads "a kernelalignment"."""
    fused = []
    for path in sorted((ROOT / "brainnet").rglob("*.py")):
        with path.open(encoding="utf-8") as file:
            tokens = [
                t for t in tokenize.generate_tokens(file.readline) if t.type not in (tokenize.NL, tokenize.COMMENT)
            ]
        for one, other in pairwise(tokens):
            if one.type == other.type == tokenize.STRING and one.end[0] < other.start[0]:
                left, right = ast.literal_eval(_plain(one.string)), ast.literal_eval(_plain(other.string))
                if re.search(r"[\w,;.]$", left) and re.match(r"[A-Za-z]", right):
                    fused.append(f"{path.name}:{one.end[0]}: {left[-20:]}|{right[:20]}")
    assert fused == []


def _plain(literal: str) -> str:
    """A literal without the letters before it: an f-string's braces are left as they are written."""
    return re.sub(r"^[A-Za-z]+", lambda found: "r" * ("r" in found[0].lower()), literal)


def test_a_command_of_several_lines_can_be_copied(made):
    """Every line but the last ends with a backslash, and a sentence that begins with a command is no code."""
    for text in made[1].command_texts().values():
        for block in re.findall(r"```text\n(.*?)\n```", text, flags=re.DOTALL):
            for line in block.splitlines()[:-1]:
                assert line.endswith("\\"), block
    assert "```text\nbrainnet datasets nsd\n```" in made[1].command_texts()["brainnet datasets show"]
    assert "```" not in made[1].command_texts()["brainnet datasets"].partition("holds it.")[2].partition("NSD.")[0]


def test_every_setting_is_listed(made):
    from brainnet.config import config_keys

    text = made[1].settings()
    assert [key for key in config_keys() if f"`{key}`" not in text] == []


def test_every_public_name_has_a_page_that_files_can_tell_apart(made):
    import brainnet.rsa

    pages = made[0].pages()
    assert {f"api/brainnet.rsa.{name}.rst" for name in brainnet.rsa.__all__ if name != "RDMs"} <= set(pages)
    assert len({name.lower() for name in pages}) == len(pages)
    assert "brainnet.rsa.noise_ceiling" in made[0].aliases().values()


def test_the_page_of_a_function_names_the_command_and_the_pages_that_use_it(made):
    pages = made[0].pages()
    encode = pages["api/brainnet.run.encode_subjects.rst"]
    assert ":doc:`brainnet encode </generated/commands/brainnet_encode>`" in encode
    assert ":doc:`How well can a linear model do? </questions/linear>`" not in encode  # it names no import
    assert "</generated/commands/brainnet_extract>`" in pages["api/brainnet.extract.rst"]
    assert ":doc:`How well can a linear model do? </questions/linear>`" in pages["api/brainnet.encode.encode.rst"]
    assert ":doc:`Draw a figure for a paper </howto/figure>`" in pages["api/brainnet.plot.flatmap.rst"]
    assert "In a terminal" not in pages["api/brainnet.plot.flatmap.rst"]
    for name, text in pages.items():
        for page in re.findall(r":doc:`[^<`]+ </([^>]+)>`", text):
            assert page.startswith("generated/commands/") or (DOCS / f"{page}.md").exists(), (name, page)


def test_names_of_two_things_stand_for_neither(made):
    assert "NoiseCeiling" not in made[0].aliases()  # of voxels in scores, of RDMs in rsa


def test_dead_links_are_found(tmp_path, made):
    import check_links

    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#not">2</a><img src="c.png"><p id="x">'
    )
    (tmp_path / "b.html").write_text('<p id="there"><a href="https://example.org/">3</a><a href="a.html">4</a>')
    assert check_links.dead_links(tmp_path) == ["a.html -> b.html#not", "a.html -> c.png"]


def test_a_gallery_page_shows_the_pictures_of_its_own_process(tmp_path):
    """Two scripts run at once in one folder: each page takes what its script wrote, in the order of writing."""
    script = """
import subprocess, sys
from pathlib import Path
from PIL import Image
import gallery_pictures

picture = Image.new("RGB", (2, 2))
picture.save("second.tmp", format="png")
picture.save("first.png")
Path("second.tmp").replace("second.png")
subprocess.run([sys.executable, "-c", "open('other.png', 'wb').close()"], check=True)
Image.open("old.png").load()  # is read and not written
Path("folder").mkdir()
picture.save("folder/inner.png")
taken = iter(["1.png", "2.png", "3.png"])
gallery_pictures.SavedPictures()((), {"image_path_iterator": taken}, {"src_dir": "."})
gallery_pictures.SavedPictures()((), {"image_path_iterator": taken}, {"src_dir": "."})
print(sorted(path.name for path in Path().glob("*.png")))
"""
    from PIL import Image

    Image.new("RGB", (1, 1)).save(tmp_path / "old.png")
    env = os.environ | {"PYTHONPATH": str(DOCS / "_ext")}
    pytest.importorskip("sphinx_gallery")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "['1.png', '2.png', 'old.png', 'other.png']", done.stderr


def test_a_gallery_page_holds_no_hints_to_the_machine_that_builds_it(tmp_path):
    """Sphinx hands a page to another process, which gets the scraper of pictures and no ``conf.py``."""
    script = """
import sys
sys.path.insert(0, {ext!r})
import joblib
import gallery_pictures

def hint(scraper):
    import io, sys, warnings
    sys.stderr = io.StringIO()
    for room in ("pytorch_lightning.utilities", "lightning_fabric.plugins", "brainnet.run"):
        warnings.warn_explicit("a hint", UserWarning, "/home/jane/" + room, 1, module=room)
    return sys.stderr.getvalue()

print(*joblib.Parallel(2, backend="loky")(joblib.delayed(hint)(gallery_pictures.SavedPictures()) for _ in range(2)))
"""
    pytest.importorskip("sphinx_gallery")
    script = script.format(ext=str(DOCS / "_ext"))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.count("/home/jane/brainnet.run:1") == 2, done.stderr
    assert "lightning" not in done.stdout


@pytest.mark.parametrize("page", [p for p in PAGES if "$$" in p.read_text()], ids=lambda page: page.name)
def test_every_formula_can_be_set(page, made):
    from formulas import svg_of

    text = page.read_text()
    formulas = re.findall(r"\$\$(.*?)\$\$", text, flags=re.DOTALL)
    formulas += re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", text)
    assert len(formulas) > 3
    for formula in formulas:
        svg = svg_of(formula)
        assert "currentColor" in svg  # of the text around it, in the light and in the dark
        assert "<metadata" not in svg  # a date would change the page at every build
    with pytest.raises(ValueError, match="nonsense"):
        svg_of(r"\nonsense{")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_page_runs(page, tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT), "BRAINNET_HOME": str(tmp_path / "home"), "MPLBACKEND": "agg"}
    folder = tmp_path / "reader"
    folder.mkdir()
    run_page(page, folder, sys.executable, env)
    assert unlisted_columns(folder) == {}  # every column that the page's commands wrote is on tables.md


# ---------------------------------------------------------------------- studies


def test_every_study_has_a_page_with_its_readme_and_its_figure(made):
    from studies.form import studies

    pages = made[1].studies()
    assert set(pages) == {"studies/index.md", *(f"studies/{name}.md" for name in studies())}
    for name in studies():
        assert f"studies/{name}/README.md" in pages[f"studies/{name}.md"]
        assert f"_studies/{name}.md" in pages[f"studies/{name}.md"]
        assert f"({name}.md)" in pages["studies/index.md"]


def test_the_figure_of_a_study_is_drawn_once_and_again_when_its_files_change(made, tmp_path, monkeypatch):
    pytest.importorskip("sphinx", reason="the site is built with brainnet[docs]")
    from matplotlib.figure import Figure
    from study_pages import write_figure

    from studies import form

    calls = []
    monkeypatch.setattr(form, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(form, "run", lambda *words: calls.append(words) or ({}, Figure()))
    (tmp_path / "studies" / "toy").mkdir(parents=True)
    (tmp_path / "studies" / "toy" / "study.py").write_text("1")
    for _ in range(2):
        write_figure("toy", tmp_path / "pages")
    assert [words[:2] for words in calls] == [("toy", "small")]
    assert "/_studies/toy.png" in (tmp_path / "pages" / "toy.md").read_text()
    (tmp_path / "studies" / "toy" / "study.py").write_text("2")
    write_figure("toy", tmp_path / "pages")
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        ("studies/toy needs the folder betas under /data; give another with --data FOLDER.", "`betas`"),
        (ModuleNotFoundError("No module named 'soundfile'", name="soundfile"), "`soundfile`"),
    ],
)
def test_a_study_without_its_data_or_packages_says_so_in_place_of_a_figure(made, tmp_path, monkeypatch, error, missing):
    pytest.importorskip("sphinx", reason="the site is built with brainnet[docs]")
    from study_pages import write_figure

    from studies import form

    def run(*words):
        raise form.MissingData(error) if isinstance(error, str) else error

    monkeypatch.setattr(form, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(form, "run", run)
    (tmp_path / "studies" / "toy").mkdir(parents=True)
    write_figure("toy", tmp_path / "pages")
    text = (tmp_path / "pages" / "toy.md").read_text()
    assert missing in text
    assert "![" not in text


# ---------------------------------------------------------------------- without optional packages

OPTIONAL = (
    "av", "transformers", "mne", "wandb", "mlflow", "tensorboard", "distributed", "dask", "ray", "zarr", "netCDF4",
    "tables", "rsatoolbox", "neuralset", "soundfile", "IPython", "nbclient", "hypothesis",
)  # fmt: skip


@pytest.mark.slow
def test_the_pages_are_made_where_no_optional_package_is_installed(tmp_path):
    """The extra ``docs`` is enough: what describes an optional part does not import its package.

    A package that is absent is found by nobody and has no version; libraries ask for both.
    """
    script = f"""
import sys
from importlib import machinery, metadata

find, named = machinery.PathFinder.find_spec, metadata.Distribution.from_name

def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in {OPTIONAL!r} else find(name, path, target)

def from_name(cls, name):
    if name.replace("-", "_") in {OPTIONAL!r}:
        raise metadata.PackageNotFoundError(name)
    return named(name)

machinery.PathFinder.find_spec, metadata.Distribution.from_name = classmethod(find_spec), classmethod(from_name)
sys.path[:0] = [{str(DOCS / "_ext")!r}, {str(ROOT)!r}]
import api_pages, made_pages
print(len(made_pages.pages() | api_pages.pages()), len(api_pages.aliases()))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    pages, names = map(int, done.stdout.split())
    assert pages > 300
    assert names > 300
