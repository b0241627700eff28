"""Times of several programs that can be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

__all__ = ["take_turns"]


def take_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int = 20, number: int = 1
) -> dict[str, list[float]]:
    """Time functions in turns, so that what disturbs the machine disturbs all of them alike.

    Each is called once before, untimed.

    Parameters
    ----------
    calls : mapping from name to function without arguments
    rounds : int, optional
        Turns of each function.
    number : int, optional
        Calls in a turn. More make times of microseconds readable, and leave the caches to the
        function for longer.

    Returns
    -------
    dict of str to list of float
        Milliseconds per call, one for each round.

    Raises
    ------
    ValueError
        If `rounds` or `number` is below 1.

    Examples
    --------
    >>> from tvm_book.testing.timing import take_turns
    >>> times = take_turns({"small": lambda: sum(range(10)), "large": lambda: sum(range(10**5))})
    >>> min(times["small"]) < min(times["large"]), len(times["small"])
    (True, 20)
    """
    for name, value in (("rounds", rounds), ("number", number)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(number):
                call()
            times[name].append((time.perf_counter() - start) / number * 1e3)
    return times
