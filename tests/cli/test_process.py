from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from brainnet.cli.process import loading


@pytest.mark.parametrize(("word", "exit_code"), [("--version", 0), ("--vision", 2)])
def test_the_end_comes_at_once_but_handlers_and_threads_finish(word, exit_code):
    code = f"""
import atexit, os, sys, threading
from brainnet.cli import app as cli
class Slow:
    def __del__(self, write=os.write):  # the names of a module may be gone before its objects are
        write(1, b"taken apart")
kept = Slow()
atexit.register(print, "handler done")
if {exit_code} == 2:
    threading.Thread(target=lambda: (threading.main_thread().join(), print("thread done"))).start()
sys.argv = ["brainnet", "{word}"]
cli.command_line()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert "handler done" in done.stdout
    assert ("thread done" in done.stdout) == (exit_code == 2)
    assert ("taken apart" in done.stdout) == (exit_code == 2)  # with a thread at work Python ends as ever


def test_modules_load_without_a_search_for_garbage():
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself what it keeps")
def test_arrays_freed_are_kept_for_the_next_ones():
    code = """
import resource, sys
import numpy as np
from brainnet.cli import app as cli
sys.argv = ["brainnet", "--version"]
try:
    cli.main()
except SystemExit:
    pass
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(3 * 2**20, np.uint8) for _ in range(40)]  # larger ones ask for huge pages
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout.split()[-1]) < 10 * 3 * 2**20 // 4096  # all arrays anew would be four times as many
