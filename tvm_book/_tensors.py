"""Arrays of NumPy, torch and TVM become TVM tensors, checked against what a model takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one input or output of a model.

    Attributes
    ----------
    name : str
        The input's name; outputs are called ``output`` or ``output[0]``, ``output[1][0]``, ...
    shape : tuple of int, or None
        An output may have sizes that only the data decide: they are None, and so is the whole
        shape when not even the number of axes is known.
    dtype : str
        As NumPy spells it, for example ``"float32"``.

    Examples
    --------
    >>> from tvm_book.backend import TensorSpec
    >>> print(TensorSpec("data", (1, 3, 8, 8), "float32"))
    data: float32 (1, 3, 8, 8)
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {'(?)' if self.shape is None else self.shape}"


def to_tensor(
    spec: TensorSpec, value: Any, *, copy: bool = False, kind: str = "input"
) -> tvm.runtime.Tensor:
    """Check one array against its specification and hand it to TVM.

    Parameters
    ----------
    spec : TensorSpec
        What the array has to be.
    value : array
        A NumPy array or scalar, a torch tensor on the CPU, a TVM tensor on the CPU, or anything
        with ``__array__``.
    copy : bool, optional
        False shares the memory where TVM can: a C-contiguous, writable buffer that starts at a
        multiple of 64 bytes, which generated code relies on.
    kind : str, optional
        What error messages call the array.

    Returns
    -------
    tvm.runtime.Tensor
        C-contiguous, on the CPU.

    Raises
    ------
    TypeError
        `value` is not such an array, or has another dtype.
    ValueError
        `value` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm_book.backend import TensorSpec, to_tensor
    >>> to_tensor(TensorSpec("x", (2,), "float32"), np.ones(2))
    Traceback (most recent call last):
        ...
    TypeError: input 'x' must be float32, not float64: pass x.astype('float32')
    """
    label = f"{kind} {spec.name!r}"
    torch = sys.modules.get("torch")  # who passes a torch tensor has imported torch
    is_torch = torch is not None and isinstance(value, torch.Tensor)
    if is_torch:
        on_cpu, dtype = value.device.type == "cpu", str(value.dtype).removeprefix("torch.")
    elif isinstance(value, tvm.runtime.Tensor):
        on_cpu, dtype = value.device.dlpack_device_type() == 1, str(value.dtype)
    elif hasattr(value, "__array__"):
        value = np.asarray(value)
        on_cpu, dtype = True, value.dtype.name
    else:
        raise TypeError(
            f"{label} must be a NumPy array, a torch tensor or a TVM tensor, "
            f"not {type(value).__name__}: pass numpy.asarray({spec.name}, dtype={spec.dtype!r})"
        )
    if not on_cpu:
        raise TypeError(f"{label} is on {value.device}; the model runs on the CPU: copy it there")
    if tuple(value.shape) != spec.shape:
        raise ValueError(f"{label} must have shape {spec.shape}, not {tuple(value.shape)}")
    if dtype != spec.dtype:
        cast = f"to(torch.{spec.dtype})" if is_torch else f"astype({spec.dtype!r})"
        raise TypeError(f"{label} must be {spec.dtype}, not {dtype}: pass {spec.name}.{cast}")
    if is_torch:
        return _from_torch(value, copy)
    if isinstance(value, tvm.runtime.Tensor):
        shareable = value.is_contiguous() and not copy
        return value if shareable else tvm.runtime.tensor(value.numpy())
    return _from_numpy(value, copy)


def _from_torch(value: Any, copy: bool) -> tvm.runtime.Tensor:
    value = value.detach().contiguous()
    if copy or value.data_ptr() % 64:
        value = value.clone()  # torch allocates at multiples of 64
    return tvm.runtime.from_dlpack(value)


def _from_numpy(value: np.ndarray, copy: bool) -> tvm.runtime.Tensor:
    # Foreign byte order keeps the dtype's name. `asarray`, as `ascontiguousarray` adds an axis
    # to scalars.
    value = np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")
    if not copy:
        try:
            return tvm.runtime.from_dlpack(value)
        except (BufferError, RuntimeError):  # read-only, bfloat16, or not aligned
            pass
    return tvm.runtime.tensor(value)
