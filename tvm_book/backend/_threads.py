"""How many threads a run uses, and on which cores.

TVM 0.27 gives each thread that runs models a pool of workers of its own. The pool is made at the
first parallel loop, never grows, and by itself has half as many threads as there are cores. TVM
binds worker number i to core i and lets the calling thread go anywhere. That is a trap: where the
system puts the caller on a worker's core the two take turns, and a run on two threads takes as long
as on one, for hundreds of runs. Letting workers go anywhere too makes it more frequent, and binding
the caller would change what belongs to the user. So here workers keep off the caller: before a run,
if the caller stands on the core of one of them, they are bound to the cores that follow its own.

References
----------
TVM 0.27, ``src/runtime/thread_pool.cc`` and ``threading_backend.cc``.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading

import tvm_ffi

__all__ = ["available_threads", "check_threads", "default_threads", "use_threads"]

ONE_CORE_EACH = -2  # kSpecifyOneCorePerThread
VARIABLES = ("TVM_NUM_THREADS", "OMP_NUM_THREADS")  # in TVM's order


def available_threads() -> int:
    """Return how many cores this process may use.

    Examples
    --------
    >>> from tvm_book.backend import available_threads
    >>> available_threads() >= 1
    True
    """
    return len(_cores())


def default_threads() -> int:
    """Return how many threads a run uses unless told otherwise.

    Returns
    -------
    int
        ``TVM_NUM_THREADS`` or else ``OMP_NUM_THREADS`` of the environment, as in TVM; without them
        the number of cores that this process may use.

    Examples
    --------
    >>> from tvm_book.backend import default_threads
    >>> default_threads() >= 1
    True
    """
    for name in VARIABLES:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return available_threads()


def check_threads(threads: int | None) -> int | None:
    """Return `threads` if it is a number of threads, or None.

    Raises
    ------
    ValueError
        It is neither.

    Examples
    --------
    >>> from tvm_book.backend import check_threads
    >>> check_threads(0)
    Traceback (most recent call last):
        ...
    ValueError: threads must be an integer of at least 1, or None for all cores, not 0
    """
    whole = isinstance(threads, int) and not isinstance(threads, bool)
    if threads is not None and not (whole and threads >= 1):
        raise ValueError(
            f"threads must be an integer of at least 1, or None for all cores, not {threads!r}"
        )
    return threads


def use_threads(threads: int) -> int:
    """Make loops that this thread starts use so many threads; call it before each run.

    It costs less than a microsecond where nothing has to change. Other threads of the process are
    not touched, nor is where the calling thread may run.

    Parameters
    ----------
    threads : int
        At most as many as there are cores are used. ``TVM_BIND_THREADS=0`` in the environment
        leaves all of them unbound, as in TVM.

    Returns
    -------
    int
        How many threads run: less if something else made this thread's pool before, and smaller.

    Examples
    --------
    >>> from tvm_book.backend import use_threads
    >>> use_threads(1)
    1
    """
    state, here = _STATE, _this_core()
    if threads == state.asked and here not in state.taken:
        return state.running
    cores = _cores()
    first = cores.index(here) if here in cores else 0
    order = cores[first:] + cores[:first]
    number = min(threads, len(cores))
    _config()(ONE_CORE_EACH, number, [str(core) for core in order])
    state.asked, state.taken = threads, frozenset(order[1:number])
    state.running = min(number, _running()())
    return state.running


class _State(threading.local):
    """What this thread's pool was last told."""

    asked = 0
    running = 0
    taken: frozenset[int] = frozenset()  # cores of workers


_STATE = _State()


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@functools.cache
def _getcpu():
    return getattr(ctypes.CDLL(None), "sched_getcpu", lambda: -1)


def _this_core() -> int:
    return _getcpu()()


@functools.cache
def _config():
    return tvm_ffi.get_global_func("runtime.config_threadpool")


@functools.cache
def _running():
    return tvm_ffi.get_global_func("runtime.NumThreads")
