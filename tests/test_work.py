"""Work that is watched, stopped, read ahead and measured."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pytest
import torch
from torch import nn

from brainnet import _work
from brainnet._work import (
    HalvedOnce,
    at_work,
    device_of,
    duration,
    free_bytes,
    in_threads,
    parallel,
    progress,
    read_ahead,
    size,
    terminable,
)


def test_a_sigterm_ends_the_block_and_the_handler_from_before_is_back():
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(5)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_the_signal_is_left_alone():
    before, met = signal.getsignal(signal.SIGTERM), []

    def work():
        with terminable():  # signal.signal would raise here
            met.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert met == [before]


def test_progress_without_a_terminal_is_lines_of_what_is_done(caplog, monkeypatch):
    monkeypatch.setattr(_work, "LINE_EVERY", -1.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "brainnet.progress"):
        assert list(progress("abc", "reading")) == ["a", "b", "c"]
        assert list(progress(iter("ab"), "going")) == ["a", "b"]
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == [
        "reading: 0 of 3 done", "reading: 1 of 3 done", "reading: 2 of 3 done", "going: 0 done", "going: 1 done",
    ]  # fmt: skip
    assert ["left" in line for line in lines] == [False, True, True, False, False]
    caplog.clear()
    assert list(progress("abc", "reading", enabled=False)) == ["a", "b", "c"]
    assert not caplog.records


def test_the_next_item_is_read_while_this_one_is_used_and_no_further():
    read = {name: threading.Event() for name in "abcd"}
    items = read_ahead(lambda name: read[name].set() or name, "abcd")
    assert next(items) == "a"
    assert read["b"].wait(5)
    assert not read["c"].is_set()
    assert list(items) == ["b", "c", "d"]


def test_what_reading_raises_comes_after_what_was_read_before():
    items = read_ahead(lambda n: 1 / n, (2, 1, 0, 4))
    assert [next(items), next(items)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_threads_keep_the_order_and_stay_a_few_items_ahead():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    another_is_done = threading.Event()

    def work(n):
        if n == 0:  # ends after one that follows it
            assert another_is_done.wait(30)
        else:
            another_is_done.set()
        return n

    found = in_threads(work, items(), workers=2)
    assert next(found) == 0
    assert len(taken) <= 10
    assert list(found) == list(range(1, 100))
    assert list(in_threads(str, range(3), workers=0)) == ["0", "1", "2"]


def test_threads_end_with_their_caller():
    worked = []
    found = in_threads(lambda n: worked.append(n) or 1 / (n - 5), range(1000), workers=2)
    with pytest.raises(ZeroDivisionError):
        list(found)
    assert len(worked) < 30


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_results_of_every_backend_come_in_order(backend):
    import joblib

    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert list(parallel(None)([(abs, (-n,), {}) for n in range(5)])) == list(range(5))


def test_a_network_gets_its_modes_back_after_an_exception():
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(3)).eval())
    modes = [module.training for module in network.modules()]

    def work():
        with at_work(network) as device:
            assert device == torch.device("cpu")
            assert not any(module.training for module in network.modules())
            raise InterruptedError

    with pytest.raises(InterruptedError):
        work()
    assert [module.training for module in network.modules()] == modes


def test_what_is_no_module_is_asked_for_its_device():
    class Plain:
        device = "meta"

    with at_work(Plain()) as device:
        assert device == torch.device("meta")
    with at_work(object(), "cpu") as device:
        assert device == torch.device("cpu")


@pytest.mark.parametrize(("limit", "free"), [("max", 8000 * 1024), ("5000000", 2_000_000)])
def test_a_container_may_have_less_memory_than_its_machine(tmp_path, monkeypatch, limit, free):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 16000 kB\nMemAvailable: 8000 kB\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(limit + "\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("3000000\n")
    monkeypatch.setattr(_work, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert free_bytes(torch.device("cpu")) == free
    assert free_bytes(torch.device("meta")) is None


def test_spans_and_sizes_are_short_at_every_step():
    assert [duration(s) for s in (0, 99.4, 100, 5999, 6000)] == ["0 s", "99 s", "1.67 min", "100 min", "1.67 h"]
    assert [size(n) for n in (0, 999, 1000, 999_400, 999_999, 10**12)] == [
        "0 B", "999 B", "1 kB", "999 kB", "1 MB", "1 TB",
    ]  # fmt: skip


def test_auto_is_cuda_then_mps_then_the_cpu(monkeypatch):
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert device_of().type == device_of("auto").type == wanted
        if mps:
            assert device_of("mps") == torch.device("mps")
    for absent in ("mps", "cuda", "cuda:7", "gpu"):
        with pytest.raises(ValueError, match=absent):
            device_of(absent)


def small_device(most, kind=torch.OutOfMemoryError):
    """A function that doubles a batch of at most ``most``, and the sizes it was asked for."""
    asked = []

    def double(batch):
        asked.append(len(batch))
        if len(batch) > most:
            raise kind("MPS backend out of memory (used: 1 GiB)" if kind is RuntimeError else "CUDA out of memory")
        return batch * 2

    return HalvedOnce(double), asked


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_a_batch_is_halved_once_and_a_line_says_so(caplog, kind):
    double, asked = small_device(3, kind)
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        found = [torch.cat(list(double(torch.arange(first, first + 5)))).tolist() for first in (0, 5)]
    assert found == [[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]]
    assert asked == [5, 3, 2, 3, 2]  # the second batch comes in halves at once
    assert len(caplog.records) == 1
    assert "batches of 3" in caplog.text


def test_half_a_batch_that_does_not_fit_is_an_error():
    double, asked = small_device(3)
    with pytest.raises(MemoryError, match="batches of 4 .*CUDA out of memory"):
        list(double(torch.arange(8)))
    assert asked == [8, 4]
    with pytest.raises(MemoryError, match="batches of 1 "):
        list(small_device(0)[0](torch.arange(1)))
    with pytest.raises(RuntimeError, match="shapes"):
        list(HalvedOnce(lambda batch: (_ for _ in ()).throw(RuntimeError("shapes")))(torch.arange(2)))
