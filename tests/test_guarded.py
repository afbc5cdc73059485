"""A function in a process of its own: what it gives and raises comes back, and what goes wrong ends alone."""

import os
import time

import pytest

from vergence.errors import CorpusError, VergenceError
from vergence.guarded import Guarded

PATIENCE = 1


@pytest.fixture(scope="module")
def guarded():
    calls = {}

    def of(function):
        return calls.setdefault(function, Guarded(function, patience=PATIENCE, memory=1 << 28))

    yield of
    for call in calls.values():
        call.close()


def test_what_the_function_gives_and_raises_comes_back(guarded):
    assert guarded(int)("7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        guarded(int)("seven")
    assert guarded(int)("8") == 8


def test_what_takes_too_long_ends_and_the_next_call_works(guarded):
    with pytest.raises(CorpusError, match="takes more than 1 seconds"):
        guarded(sum)(range(10**12))
    assert guarded(sum)(range(3)) == 3


def test_waiting_for_the_machine_is_not_what_takes_too_long(guarded):
    assert guarded(time.sleep)(2.5) is None


def test_a_process_that_dies_is_said_and_the_next_call_works(guarded):
    with pytest.raises(CorpusError, match="ends the process that reads it"):
        guarded(os._exit)(3)
    with pytest.raises(CorpusError, match="ends the process that reads it"):
        guarded(os._exit)(4)


def test_memory_is_bounded(guarded):
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("only where the system tells what a process has")
    with pytest.raises(CorpusError, match="takes more than 256 MiB of memory"):
        guarded(bytes)(1 << 30)
    assert guarded(bytes)(2) == b"\0\0"


def test_nothing_can_be_asked_after_the_end():
    call = Guarded(int)
    call.close()
    with pytest.raises(VergenceError, match="has been closed"):
        call("7")
