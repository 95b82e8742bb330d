"""A folder of a public bucket is listed whole, page by page; what it lists outside the folder is refused."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from brainnet._files import download as _download
from brainnet.dataset.buckets import list_bucket
from tests.toy_server import Page, serving

FOLDER = "ds1/sub-02/"


def listing(files: dict[str, int], goes_on: str = "") -> bytes:
    entries = "".join(f"<Contents><Key>{escape(key)}</Key><ETag>&quot;1&quot;</ETag><Size>{n}</Size></Contents>"
                      for key, n in files.items())  # fmt: skip
    token = f"<NextContinuationToken>{goes_on}</NextContinuationToken>" if goes_on else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{token}{entries}</ListBucketResult>"
    ).encode()


def door(folder: str = FOLDER, token: str = "") -> str:
    return f"/bucket/?list-type=2&prefix={quote(folder, safe='')}" + (f"&continuation-token={token}" if token else "")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(_download, "PAUSE", 0.0)


def test_a_folder_is_listed_over_all_pages():
    first = {FOLDER: 0, f"{FOLDER}eeg/a b.set": 10, f"{FOLDER}eeg/x&y.fdt": 20}
    pages = {door(): Page(listing(first, "t1")), door(token="t1"): Page(listing({f"{FOLDER}events.tsv": 3}))}
    with serving(pages) as served:
        found = list_bucket(f"{served.address}/bucket/{FOLDER}")
        base = f"{served.address}/bucket/ds1/sub-02"
        assert found == [("eeg/a b.set", 10, f"{base}/eeg/a%20b.set"), ("eeg/x&y.fdt", 20, f"{base}/eeg/x%26y.fdt"),
                         ("events.tsv", 3, f"{base}/events.tsv")]  # fmt: skip
        assert [one.name for one in list_bucket(f"{served.address}/bucket/{FOLDER}", "*.tsv")] == ["events.tsv"]
        with pytest.raises(ValueError, match=r"no file like \*\.mat"):
            list_bucket(f"{served.address}/bucket/{FOLDER}", "*.mat")


@pytest.mark.parametrize("key", ["ds1/sub-02/../evil", "ds2/other", "ds1/sub-02//etc/x"])
def test_what_lies_outside_is_refused(key):
    with serving({door(): Page(listing({key: 1}))}) as served, pytest.raises(ValueError, match="not below it"):
        list_bucket(f"{served.address}/bucket/{FOLDER}")


@pytest.mark.parametrize("body", [b"<html>no", b"{}", listing({f"{FOLDER}a": "many"})])
def test_what_is_no_list_is_told(body):
    with serving({door(): Page(body)}) as served, pytest.raises(ValueError, match="no list of files"):
        list_bucket(f"{served.address}/bucket/{FOLDER}")


def test_a_bucket_may_be_a_part_of_the_name_of_the_machine(monkeypatch):
    asked = []

    def answer(address):
        asked.append(address)
        return listing({f"{FOLDER}a": 1})

    monkeypatch.setattr("brainnet.dataset.buckets.read_address", answer)
    door = "https://bucket.s3.us-west-2.amazonaws.com"
    assert list_bucket(f"{door}/{FOLDER}") == [("a", 1, f"{door}/{FOLDER}a")]
    assert asked == [f"{door}/?list-type=2&prefix=ds1%2Fsub-02%2F"]


def test_a_closed_bucket_and_an_address_of_a_file_are_told():
    with serving({door(): Page(status=403)}) as served:
        with pytest.raises(ConnectionError, match="403"):
            list_bucket(f"{served.address}/bucket/{FOLDER}")
        with pytest.raises(ValueError, match=r"BUCKET/FOLDER/"):
            list_bucket(f"{served.address}/bucket/ds1/file.txt")
