"""The folder of a command about geometry: one writer, nothing left of a refusal."""

import multiprocessing

import pytest

from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rsa import compare_rdms


def test_a_folder_that_cannot_be_made_is_told_before_the_work(files, monkeypatch):
    monkeypatch.setattr("brainnet.run.rsa.rsa.read_regions", lambda *_: pytest.fail("read before"))
    monkeypatch.setattr("os.access", lambda *_: False)  # as for a user who may not write there
    with pytest.raises(PermissionError, match=r"--out .* is no folder that you may write to"):
        compare_rdms([files / "brain_V1.npz"], files / "new" / "results")


def test_a_refused_run_leaves_no_folder_and_keeps_one_that_was_there(tmp_path):
    for out in (tmp_path / "new" / "results", tmp_path / "old"):
        (tmp_path / "old").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="refused"), claimed(out, "rsa"):
            raise ValueError("refused")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert not list((tmp_path / "old").iterdir())


def _write_into(out, queue):
    try:
        with claimed(out, "rsa"):
            queue.put("wrote")
    except BlockingIOError as error:
        queue.put(str(error))


def test_a_second_process_is_told_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue, out = context.Queue(), tmp_path / "results"

    def second():
        process = context.Process(target=_write_into, args=(out, queue))
        process.start()
        answer = queue.get(timeout=60)
        process.join()
        return answer

    with claimed(out, "rsa"):
        assert f"another process is writing to {out}" in second()
    assert second() == "wrote"
