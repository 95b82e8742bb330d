"""What folders mean, in a folder and in an archive; and the order of classes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from brainnet.stimuli import Images
from brainnet.stimuli.layouts import read_classes

CLASSES = ["cat10/1.png", "cat2/b.png", "cat2/a.png", "Dog/1.png"]
NESTED = ["b.png", "x/10.png", "x/9.png", "x/y/1.png"]


def fill(folder, names):
    for red, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), (red, 0, 0)).save(path)
    return folder


def zip_of(folder, path, below=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{below}{file.relative_to(folder)}")
    return path


@pytest.fixture(params=["folder", "zip", "zip in a folder"])
def given(request, tmp_path):
    """A function from names to a folder, or the archive of it."""

    def of(names):
        folder = fill(tmp_path / "set", names)
        if request.param == "folder":
            return folder
        return zip_of(folder, tmp_path / "set.zip", "wrapped/" if request.param == "zip in a folder" else "")

    return of


def reds(images):
    return [image.getpixel((0, 0))[0] for image in images]


def test_a_folder_for_each_class(given):
    images = Images(given(CLASSES))
    assert images.layout == "classes"
    assert images.classes == ["cat2", "cat10", "Dog"]
    assert images.ids == ["cat2/a", "cat2/b", "cat10/1", "Dog/1"]
    assert images.targets == [0, 0, 1, 2]
    assert reds(images) == [2, 1, 0, 3]


def test_an_order_of_classes_orders_the_pictures_too(given, tmp_path):
    source = given(CLASSES)
    listed = tmp_path / "concepts.tsv"
    listed.write_text("Word\tuniqueID\na dog\tDog\na bird\tbird1\na cat\tcat10\na cat\tcat2\n")
    with pytest.warns(UserWarning, match="1 of the 4 classes have no pictures.*'bird1'"):
        images = Images(source, classes=listed)
    assert images.classes == ["Dog", "bird1", "cat10", "cat2"]
    assert images.ids == ["Dog/1", "cat10/1", "cat2/a", "cat2/b"]
    assert images.targets == [0, 2, 3, 3]
    assert Images(source, classes=["Dog", "cat10", "cat2"]).targets == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="lacks 1 of the 3 classes.*'cat10'. Did you mean 'cat 10'"):
        Images(source, classes=["Dog", "cat 10", "cat2"])
    with pytest.raises(ValueError, match="'Dog' twice"):
        Images(source, classes=["Dog", "Dog", "cat10", "cat2"])


def test_nested_folders_are_a_part_of_the_id(given):
    images = Images(given(NESTED), layout="nested")
    assert images.ids == ["b", "x/9", "x/10", "x/y/1"]
    assert images.classes is images.targets is None
    assert reds(images) == [0, 2, 1, 3]


def test_folders_at_several_depths_are_nested_by_themselves(given):
    images = Images(given(["a/1.png", "b/c/1.png"]))
    assert (images.layout, images.ids) == ("nested", ["a/1", "b/c/1"])
    images = Images(given(["a/1.png", "b/c/1.png"]), layout="classes")
    assert (images.classes, images.targets, images.ids) == (["a", "b"], [0, 1], ["a/1", "b/c/1"])


def test_pictures_outside_of_the_classes_are_told(given):
    with pytest.raises(ValueError, match=r"1 of the pictures .* no folder of a class, the first is b\.png"):
        Images(given(NESTED), layout="classes")


def test_flat_is_what_lies_in_the_folder_and_says_what_is_not_read(tmp_path):
    folder = fill(tmp_path / "set", NESTED)
    (folder / "phone.heic").touch()
    with pytest.warns(UserWarning, match="1 folder in .* such as x") as said:
        assert Images(folder).ids == ["b"]
    assert any("phone.heic" in str(warning.message) for warning in said)
    assert Images(folder, layout="flat").ids == ["b"]
    assert Images(zip_of(folder, tmp_path / "set.zip"), layout="flat").ids == ["b", "9", "10", "1"]


def test_an_archive_around_one_folder_is_flat(tmp_path):
    images = Images(zip_of(fill(tmp_path / "set", ["2.png", "10.png"]), tmp_path / "set.zip", "wrapped/"))
    assert (images.layout, images.ids, reds(images)) == ("flat", ["2", "10"], [0, 1])
    one = Images(tmp_path / "set.zip", layout="classes")
    assert (one.classes, one.ids) == (["wrapped"], ["wrapped/2", "wrapped/10"])


@pytest.mark.parametrize("names", [["images/a.png"], ["images/a.png", "images/b.png"]])
def test_a_folder_around_the_pictures_is_told(tmp_path, names):
    (tmp_path / "responses").mkdir()
    fill(tmp_path, names)
    with pytest.raises(FileNotFoundError, match=r"no images in .* Did you mean .*images\?$"):
        Images(tmp_path)
    assert Images(tmp_path, layout="classes").classes == ["images"]
    fill(tmp_path / "masks", names)
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*masks.images\?$"):
        Images(tmp_path / "masks")


def test_equal_names_in_a_class_keep_their_suffix(given):
    assert Images(given(["a/1.png", "a/1.jpg", "a/2.png", "b/1.png"])).ids == ["a/1.jpg", "a/1.png", "a/2", "b/1"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    fill(tmp_path / "elsewhere", ["1.png"])
    fill(tmp_path / "set", ["a/1.png"])
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "a" / "round").symlink_to(tmp_path / "set")
    assert Images(tmp_path / "set", layout="nested").ids == ["a/1", "b/1"]


def test_hidden_folders_are_not_read(given):
    assert Images(given(["a/1.png", "b/1.png", "__MACOSX/1.png"])).classes == ["a", "b"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    fill(tmp_path / "set", ["a/1.png", "b/1.png"])
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="set/b"):
        Images(tmp_path / "set")


def test_lists_of_classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffb\n\na\n", encoding="utf-8")
    assert read_classes(path) == ["b", "a"]
    (tmp_path / "one.csv").write_text("anything\nb\na\n")
    assert read_classes(tmp_path / "one.csv") == ["b", "a"]
    (tmp_path / "two.csv").write_text("this,that\nb,a\n")
    with pytest.raises(ValueError, match="'uniqueid'.*it has this, that"):
        read_classes(tmp_path / "two.csv")
    path.write_text("\n")
    with pytest.raises(ValueError, match="names no classes"):
        read_classes(path)
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="no list of classes"):
        read_classes(path)


def test_the_order_of_imagenet_is_read_by_its_first_words(given, tmp_path):
    listed = tmp_path / "LOC_synset_mapping.txt"
    listed.write_text("n02 goldfish, Carassius auratus\nn01 tench, Tinca tinca\n")
    images = Images(given(["n01/a.png", "n02/a.png"]), classes=listed)
    assert (images.classes, images.targets) == (["n02", "n01"], [0, 1])


def test_the_order_of_things_is_that_of_its_file_and_not_of_the_folders(given, test_data):
    concepts = read_classes(test_data / "imagenet_meta/things_concepts.tsv")
    assert len(concepts) == 1854
    places = [concepts.index(name) for name in ("camera1", "camera_lens", "chicken1", "chicken_wire")]
    some = [concepts[place] for place in sorted(places)]
    source = given([f"{name}/{name}_01b.png" for name in some])
    with pytest.warns(UserWarning, match="1850 of the 1854"):
        images = Images(source, classes=test_data / "imagenet_meta/things_concepts.tsv")
    assert [concepts[target] for target in images.targets] == some
    assert [name.split("/")[0] for name in images.ids] == some
    assert images.targets == sorted(places)


def test_what_is_for_classes_is_refused_elsewhere(given, tmp_path):
    with pytest.raises(ValueError, match="no folder of a class|lacks 1 of the 1 classes"):
        Images(given(["1.png", "2.png"]), classes=["a"])
    with pytest.raises(ValueError, match="Did you mean 'classes'"):
        Images(tmp_path, layout="class")
    with pytest.raises(ValueError, match="'list' is not for"):
        Images(given(["1.png", "2.png"]), layout="list")
