"""Files of a data set are fetched after its terms were accepted, into its layout, once, and gone on with."""

from __future__ import annotations

import hashlib
import io
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from brainnet._files import download as _download
from brainnet._files.download import digest_of
from brainnet.cli import app as cli
from brainnet.dataset import DATASETS, ArrayDataset, get_dataset
from brainnet.dataset.about import Download
from brainnet.dataset.buckets import Listed
from brainnet.dataset.fetching import plan_dataset, usual_folder
from tests.dataset.test_archives import below
from tests.dataset.test_buckets import door, listing
from tests.dataset.test_catalogue import said
from tests.toy_server import Page, serving

BETAS = np.random.default_rng(0).bytes(100_000)


def zip_of(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return held.getvalue()


PICTURES = zip_of({"images/a.png": b"1", "images/b.png": b"22"})


@pytest.fixture
def pages():
    return {"/betas1": Page(BETAS), "/betas2": Page(BETAS[:500]), "/pictures": Page(PICTURES)}


@pytest.fixture
def toy(pages, monkeypatch, tmp_path):
    """The data set "toy" on a server of this machine; gives the folder that it goes to."""
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    with serving(pages) as served:
        sha = hashlib.sha256(PICTURES).hexdigest()
        files = (
            Download("betas/1.npy", f"{served.address}/betas1", 100_000, option="subject=1"),
            Download("betas/2.npy", f"{served.address}/betas2", option="subject=2"),
            Download("stimuli/pictures.zip", f"{served.address}/pictures", len(PICTURES), f"sha256:{sha}", unpack=True),
        )

        class Toy(ArrayDataset):
            """A toy."""

            about = said(downloads=files, steps=("Ask for it.",), needs=("betas/{subject}.npy", "stimuli/images/*.png",
                                                                         "secret.csv"))  # fmt: skip
            served_at = served

            @classmethod
            def from_settings(cls, data_dir, seed, *, subject: int = 1):
                raise ValueError("no secret.csv")

        with DATASETS.temporarily("toy", Toy):
            yield tmp_path / "toy"


def asked() -> list[str]:
    return [path for path, _ in DATASETS["toy"].served_at.asked]


WHOLE = {"betas/1.npy": BETAS, "stimuli/images/a.png": b"1", "stimuli/images/b.png": b"22"}


def held(folder: Path) -> dict[str, bytes]:
    """What a reader sees of the folder."""
    return {name: body for name, body in below(folder).items() if not name.startswith(".brainnet/")}


def test_files_come_once_into_the_layout(toy):
    places = get_dataset("toy", toy, accept_terms=True, progress=False)
    assert held(toy) == WHOLE
    assert places == [toy / "betas/1.npy", toy / "stimuli"]
    assert asked() == ["/betas1", "/pictures"]
    assert get_dataset("toy", toy) == places  # nothing is fetched, so that no terms are asked about
    assert len(asked()) == 2
    assert [path.name for path in (toy / ".brainnet").iterdir()] == [
        next(path.name for path in (toy / ".brainnet").glob("*.json"))
    ]  # the archive is gone, and no lock is left
    get_dataset("toy", toy, accept_terms=True, progress=False, subject=2)
    assert asked()[2:] == ["/betas2"]


def test_nothing_comes_before_the_terms_are_accepted(toy):
    with pytest.raises(ValueError, match="terms of Toy.*C\\."):
        get_dataset("toy", toy)
    assert asked() == []
    assert not toy.exists()


def test_what_was_damaged_or_taken_away_comes_again(toy):
    get_dataset("toy", toy, accept_terms=True, progress=False)
    (toy / "stimuli/images/b.png").unlink()
    (toy / "betas/1.npy").write_bytes(b"short")
    assert [file.path for file in plan_dataset("toy", toy).missing] == ["betas/1.npy", "stimuli/pictures.zip"]
    get_dataset("toy", toy, accept_terms=True, progress=False)
    assert held(toy) == WHOLE


@pytest.mark.parametrize("body", [b"<html>log in", zip_of({"../evil": b"1"}), PICTURES[:-30]])
def test_a_bad_archive_is_told_by_its_address_and_leaves_the_other_files(toy, pages, body):
    pages["/pictures"].body = body
    digest, n_bytes = f"sha256:{hashlib.sha256(body).hexdigest()}", len(body)
    about = DATASETS["toy"].about
    file = Download("stimuli/pictures.zip", about.downloads[2].address, n_bytes, digest, unpack=True)

    class Bad(DATASETS["toy"]):
        """A toy."""

        about = said(downloads=(DATASETS["toy"].about.downloads[0], file))

    with DATASETS.temporarily("bad", Bad):
        with pytest.raises(ValueError, match="/pictures"):
            get_dataset("bad", toy, accept_terms=True, progress=False)
        assert held(toy) == {"betas/1.npy": BETAS}
        assert not (toy.parent / "evil").exists()


def test_a_wrong_checksum_and_a_refusal_are_told(toy, pages):
    pages["/pictures"].body = PICTURES[:-1]
    with pytest.raises(ValueError, match="expected sha256"):
        get_dataset("toy", toy, accept_terms=True, progress=False)
    pages["/pictures"].status = 403
    with pytest.raises(ConnectionError, match="403.*form"):
        get_dataset("toy", toy, accept_terms=True, progress=False)
    assert held(toy) == {"betas/1.npy": BETAS}


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if DATASETS[name].about])
def test_what_every_reader_says_can_be_planned(name, tmp_path, monkeypatch):
    """For each value of an option that it names, files have other places and addresses, all below the folder."""
    monkeypatch.setattr("brainnet.dataset.fetching.list_bucket", lambda *_: [Listed("a", 1, "")])
    options = {file.option for file in DATASETS[name].about.downloads} | {""}
    for option in options:
        chosen = dict(part.strip().split("=") for part in option.split(",") if part)
        plan = plan_dataset(name, tmp_path, **{key: yaml.safe_load(value) for key, value in chosen.items()})
        assert plan.files or not option
        assert len({file.path for file in plan.files}) == len(plan.files)
        assert not [file for file in plan.files if "{" in file.path + file.address or "*" in file.path + file.address]


@pytest.mark.parametrize(("name", "folder"), [("images92", "algonauts2019"), ("images78", "algonauts2019"),
                                              ("cowley_v4", "cowley_v4")])  # fmt: skip
def test_checksums_are_those_of_the_files_that_the_readers_were_run_on(name, folder, test_data):
    files = DATASETS[name].about.downloads
    digests = [file for file in files if file.digest]
    assert len(digests) >= 2
    for file in digests:
        assert digest_of(test_data / folder / file.path, "md5") == file.digest
    assert {(test_data / folder / file.path).is_file() for file in files} == {True}


@pytest.fixture
def bucket(pages, monkeypatch, tmp_path):
    """The data set "bucket", whose files of a subject are a folder of a bucket."""
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    files = {"ds1/sub-02/a.npy": b"12", "ds1/sub-02/deep/b.npy": BETAS, "ds1/sub-02/notes.txt": b"no"}
    pages |= {f"/bucket/{key}": Page(body) for key, body in files.items()}
    pages[door()] = Page(listing({key: len(body) for key, body in files.items()}))
    with serving(pages) as served:

        class Bucket(ArrayDataset):
            """A toy."""

            about = said(
                downloads=(
                    Download("raw/{subject}", f"{served.address}/bucket/ds1/sub-{{subject:02d}}/", files="*.npy"),
                )
            )

            @classmethod
            def from_settings(cls, data_dir, seed, *, subject=None):
                raise ValueError

        with DATASETS.temporarily("bucket", Bucket):
            yield served


def test_a_folder_of_a_bucket_is_fetched_and_then_known_without_the_network(tmp_path, bucket, pages):
    out = tmp_path / "out"
    places = get_dataset("bucket", out, accept_terms=True, progress=False, subject=2)
    assert held(out) == {"raw/2/a.npy": b"12", "raw/2/deep/b.npy": BETAS}
    assert places == [out / "raw/2/a.npy", out / "raw/2/deep/b.npy"]
    n_asked = len(bucket.asked)
    assert get_dataset("bucket", out, subject=2) == places
    assert len(bucket.asked) == n_asked
    (out / "raw/2/a.npy").unlink()
    assert [file.path for file in plan_dataset("bucket", out, subject=2).missing] == ["raw/2/a.npy"]
    assert len(bucket.asked) == n_asked


def test_a_bucket_that_is_open_in_an_option_asks_for_it(tmp_path, bucket):
    with pytest.raises(ValueError, match=r"sub-\*/.*option"):
        plan_dataset("bucket", tmp_path)


def test_where_nothing_may_be_fetched_the_steps_are_told(tmp_path):
    step = DATASETS["nsd"].about.steps[0]
    with pytest.raises(ValueError, match=f"nothing of Natural Scenes Dataset.*By hand:\n  1. {step}"):
        get_dataset("nsd", tmp_path, accept_terms=True)
    with pytest.raises(ValueError, match="something for version=1"):
        get_dataset("things_eeg", tmp_path, accept_terms=True)
    with pytest.raises(ValueError, match="'array'.*nothing to download"):
        get_dataset("array", tmp_path, accept_terms=True)


def test_a_reader_that_would_write_elsewhere_is_refused(tmp_path):
    class Evil(ArrayDataset):
        """One that leads out."""

        about = said(downloads=(Download("../evil", "https://x"),))

    with DATASETS.temporarily("evil", Evil), pytest.raises(ValueError, match=r"'\.\./evil', outside"):
        plan_dataset("evil", tmp_path)


def test_a_full_disk_is_told_before(toy, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match="Toy needs at least 100 kB .* 1 kB are free"):
        get_dataset("toy", toy, accept_terms=True)
    assert asked() == []


def test_two_at_once_are_refused(toy):
    from brainnet._files import locked

    (toy / ".brainnet").mkdir(parents=True)
    with locked(toy / ".brainnet/fetching"), pytest.raises(BlockingIOError, match="another process"):
        get_dataset("toy", toy, accept_terms=True, progress=False)


STOPPED = """
from brainnet._files import download as _download
from brainnet._files.download import digest_of
from brainnet.dataset import DATASETS, ArrayDataset, get_dataset
from brainnet.dataset.about import Download
from brainnet.dataset.buckets import Listed
from tests.dataset.test_catalogue import said
_download.BLOCK = 1000
class Toy(ArrayDataset):
    about = said(downloads=(Download("first", "ADDRESS/betas2"), Download("betas/1.npy", "ADDRESS/betas1", 100_000)))
DATASETS.register("stopped")(Toy)
get_dataset("stopped", "FOLDER", accept_terms=True, progress=False)
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_command_goes_on_by_the_same_line(toy, pages, stop):
    code = STOPPED.replace("ADDRESS", DATASETS["toy"].served_at.address).replace("FOLDER", str(toy))
    pages["/betas1"].pause = 0.02
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    part = toy / "betas/.1.npy.partial"
    while not part.is_file() or part.stat().st_size < 5000:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(stop)
    _, words = process.communicate()
    assert held(toy).keys() - {"betas/1.npy.lock"} == {"first", "betas/.1.npy.partial", "betas/.1.npy.partial.json"}
    assert ("goes on from there" in words) == (stop is signal.SIGTERM)
    pages["/betas1"].pause = 0
    address = DATASETS["toy"].served_at.address
    files = (Download("first", f"{address}/betas2"), Download("betas/1.npy", f"{address}/betas1", 100_000))
    again = type("Again", (ArrayDataset,), {"about": said(downloads=files)})
    with DATASETS.temporarily("stopped", again):
        get_dataset("stopped", toy, accept_terms=True, progress=False)
    assert (toy / "betas/1.npy").read_bytes() == BETAS
    paths, starts = zip(*DATASETS["toy"].served_at.asked, strict=True)
    assert paths == ("/betas2", "/betas1", "/betas1")
    assert int(starts[-1].removeprefix("bytes=").rstrip("-")) >= 5000


# ---------------------------------------------------------------------- the command


def run(*words: object, code: int = 0, **how) -> str:
    result = CliRunner().invoke(cli.app, ["datasets", "get", *map(str, words)], **how)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_command_shows_the_terms_and_asks(toy):
    for answer in ("n\n", ""):
        printed = run("toy", "--out", toy, input=answer, code=1)
        assert "terms C." in printed
        assert "--accept-terms" in printed
        assert "2 files to fetch, 100 kB" in printed
    assert asked() == []
    printed = run("toy", "--out", toy, input="y\n")
    assert held(toy) == WHOLE
    for words in ("2 of 2 files", "still missing, to be had by hand secret.csv", "1. Ask for it.",
                  f"brainnet datasets check toy {toy}"):  # fmt: skip
        assert words in printed
    assert "accept" not in run("toy", "--out", toy)  # all is there


def test_the_command_takes_options_and_the_usual_folder(toy):
    printed = run("toy", "subject", "2", "--accept-terms", "--quiet")
    assert usual_folder("toy") == Path(toy.parent / "home/datasets/toy")
    assert (usual_folder("toy") / "betas/2.npy").read_bytes() == BETAS[:500]
    assert "and 1 of a length that is not published" in printed
    assert asked() == ["/betas2", "/pictures"]


def test_the_command_prints_the_steps_where_nothing_may_be_fetched():
    printed = run("nsd", code=1)
    about = DATASETS["nsd"].about
    assert all(" ".join(text.split()) in printed for text in (about.where, about.terms, *about.steps))
    assert "brainnet datasets check nsd FOLDER" in printed
