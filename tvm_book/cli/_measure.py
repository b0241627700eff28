"""Run models on batches, and say how far apart their outputs are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tvm

    from ..backend import TensorSpec

__all__ = ["COLUMNS", "differences", "evaluator", "outputs", "rows"]

Batch = Mapping[str, Any]
COLUMNS = ("output", ">cosine", ">SQNR dB", ">max abs error", ">top-1 agreement")


def evaluator(mod: tvm.IRModule, params: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Return a function that computes ``main`` as calibration does, without compiling it."""
    from .._signature import bind_params
    from ..quantize._evaluate import Evaluator
    from ..quantize._graph import Graph

    bound = bind_params(mod, params)
    graph = Graph(bound["main"])
    evaluate = Evaluator(graph, [graph.output], bound)
    return lambda **batch: evaluate(batch)[0]


def outputs(
    run: Callable[..., Any], specs: Sequence[TensorSpec], batches: Iterable[Batch]
) -> dict[str, np.ndarray]:
    """Run a model on batches; each output by its name, the batches joined along the first axis."""
    import numpy as np

    results = [list(_flat(run(**batch))) for batch in batches]
    return {
        spec.name: np.concatenate([np.atleast_1d(one) for one in parts])
        for spec, parts in zip(specs, zip(*results, strict=True), strict=True)
    }


def differences(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]
) -> list[dict[str, float | str | None]]:
    """Compare outputs by name.

    Returns
    -------
    list of dict
        One for each output: ``cosine``, ``sqnr_db``, ``max_abs_error``, and ``top1_agreement``,
        None where the output is not a table of scores, ``(samples, classes)``.

    Raises
    ------
    ValueError
        The outputs differ in number or shape.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.float32([[0, 3], [4, 0]]), np.float32([[0, 3], [3, 0]])
    >>> differences({"output": a}, {"output": b})[0]["max_abs_error"]
    1.0
    """
    from ..testing import metric

    if list(a) != list(b):
        raise ValueError(f"the models have different outputs: {', '.join(a)} and {', '.join(b)}")
    found = []
    for name, one in a.items():
        other = b[name]
        if one.shape != other.shape:
            raise ValueError(
                f"the models have different results: {name} is {one.dtype} {one.shape} and "
                f"{other.dtype} {other.shape} on the same data"
            )
        scores = one.ndim == 2 and one.shape[1] > 1 and one.dtype.kind == "f"
        found.append(
            {
                "output": name,
                "cosine": metric.cosine_similarity(one, other),
                "sqnr_db": metric.sqnr_db(one, other),
                "max_abs_error": metric.max_abs_error(one, other),
                "top1_agreement": metric.top_k_agreement(one, other) if scores else None,
            }
        )
    return found


def rows(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Write `differences` as rows of a table with `COLUMNS`."""
    return [
        (
            row["output"],
            f"{row['cosine']:.6f}",
            f"{row['sqnr_db']:.2f}",
            f"{row['max_abs_error']:.6g}",
            "" if row["top1_agreement"] is None else f"{row['top1_agreement']:.2%}",
        )
        for row in found
    ]


def _flat(result: Any) -> Iterable[Any]:
    if isinstance(result, tuple | list):
        for part in result:
            yield from _flat(part)
    else:
        yield result
