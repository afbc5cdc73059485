"""The one door of every measure: what it takes for numbers, and in which precision it computes.

A measure takes tensors on any device, NumPy arrays, and what NumPy makes an array of numbers of; it computes the same
value whatever surrounds the call: autocast, the precision of float32 products, inference mode, default type and device.
"""

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from jaxtyping import AbstractArray
from torch import Tensor

from vergence.checks import finite
from vergence.errors import ShapeError

if TYPE_CHECKING:
    Array: TypeAlias = Tensor | np.ndarray[Any, Any]
else:  # beartype takes the bare class only
    Array = Tensor | np.ndarray

_F = TypeVar("_F", bound=Callable[..., Any])
_COMPUTES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ROUNDED = ("bf16", "tf32")  # how products of float32 may be rounded


def guarded(function: _F) -> _F:
    """Make a function of arrays a measure: read its annotations, and hold every caller to them.

    An argument that is annotated as `Float[Array, "n dim"]` arrives as a detached floating-point tensor of two
    dimensions (whole numbers and truth values as float64), `Integer[Array, "n"]` as one of int64, `Shaped` as either.
    What is surrounded by autocast, by rounded products or by inference mode is computed as if it were not.

    Raises:
        ShapeError: When called with what is no array of real numbers, or one of other dimensions; naming the argument.

    Example:
        >>> from jaxtyping import Float
        >>> @guarded
        ... def total(x: Float[Array, "n dim"]) -> float:
        ...     return float(x.sum())
        >>> total([[1, 2], [3, 4]])
        10.0
        >>> total([1, 2])
        Traceback (most recent call last):
        vergence.errors.ShapeError: x must have shape (n, dim); got (2,)
    """
    parameters = inspect.signature(function).parameters
    names = tuple(parameters)
    hints = {name: _Expected.of(name, parameter.annotation) for name, parameter in parameters.items()}
    expected = {name: hint for name, hint in hints.items() if hint is not None}

    def taken(name: str, value: Any) -> Any:
        one = expected.get(name)
        if one is not None and not (value is None and one.optional):
            return one.take(value)
        return value.item() if isinstance(value, np.generic) else value  # a NumPy number is a number

    @wraps(function)
    def measured(*args: Any, **options: Any) -> Any:
        with unaffected():
            given = {name: taken(name, value) for name, value in zip(names, args, strict=False)}
            named = {name: taken(name, value) for name, value in options.items()}
            arrays = {name: value for name, value in (given | named).items() if name in expected and value is not None}
            _agree({name: (expected[name].sizes, array) for name, array in arrays.items()})
            return function(*given.values(), *args[len(names) :], **named)

    return cast(_F, measured)


@contextmanager
def unaffected() -> Iterator[None]:
    """Compute as written, whatever surrounds the call."""
    with ExitStack() as stack:
        accelerator = torch.accelerator.current_accelerator()
        for device in {"cpu", accelerator.type if accelerator else "cpu"}:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_FULL_PRODUCTS)
        yield


class _FullProducts:
    """Products of float32 in float32 as long as any thread is inside; the setting belongs to the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._found: list[tuple[Any, str]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            for backend in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):  # type: ignore[attr-defined]
                if (precision := backend.fp32_precision) in _ROUNDED:
                    self._found.append((backend, precision))
                    backend.fp32_precision = "ieee"

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            while not self._inside and self._found:
                backend, precision = self._found.pop()
                backend.fp32_precision = precision


_FULL_PRODUCTS = _FullProducts()


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """What an annotation says of an argument: its name, its kind of numbers and its dimensions."""

    name: str
    kind: str  # Float, Integer or Shaped
    sizes: tuple[str, ...]  # names of its dimensions, one with a star if it stands for any number of them
    optional: bool

    @classmethod
    def of(cls, name: str, annotation: Any) -> "_Expected | None":
        options = getattr(annotation, "__args__", (annotation,))
        arrays = [one for one in options if isinstance(one, type) and issubclass(one, AbstractArray)]
        if not arrays or {one.array_type for one in arrays} != {Tensor, np.ndarray}:
            return None
        sizes = tuple(arrays[0].dim_str.split())
        return cls(name=name, kind=arrays[0].dtype.__name__, sizes=sizes, optional=type(None) in options)

    def take(self, value: Any) -> Tensor:
        """Turn an argument into the tensor that was promised, without copying where it is one."""
        tensor = value if isinstance(value, Tensor) else _from_numpy(self.name, value)
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            found = tensor.layout if tensor.layout != torch.strided else tensor.dtype
            raise ShapeError(f"{self.name} must be a dense array of real numbers; got {found}")
        starred = any(size.startswith("*") for size in self.sizes)
        if len(self.sizes) != tensor.ndim and not (starred and tensor.ndim >= len(self.sizes) - 1):
            raise ShapeError(f"{self.name} must have shape ({', '.join(self.sizes)}); got {tuple(tensor.shape)}")
        if 0 in tensor.shape[1:]:
            raise ShapeError(f"{self.name} must have at least one column; got shape {tuple(tensor.shape)}")
        tensor = tensor.detach()
        if tensor.is_floating_point():
            if self.kind == "Integer":
                raise ShapeError(
                    f"{self.name} must hold whole numbers; got {tensor.dtype}. Number other values with "
                    "numpy.unique(values, return_inverse=True)[1]"
                )
            return tensor if tensor.dtype in _COMPUTES else tensor.float()
        return tensor.to(torch.float64 if self.kind == "Float" else torch.int64)


def _agree(arrays: Mapping[str, tuple[tuple[str, ...], Tensor]]) -> None:
    """Require dimensions of one name to be of one size."""
    found: dict[str, Any] = {}
    for sizes, tensor in arrays.values():
        for size, seen in zip(sizes, _sizes_seen(sizes, tuple(tensor.shape)), strict=True):
            if found.setdefault(size, seen) != seen:
                shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, (_, tensor) in arrays.items())
                if size == next(iter(arrays.values()))[0][0]:
                    raise ShapeError(f"rows must pair one to one, and there must be some; got {shapes}")
                raise ShapeError(f"shapes differ: {shapes}; {size.strip('*')!r} must be one and the same")


def _sizes_seen(sizes: tuple[str, ...], shape: tuple[int, ...]) -> list[int | tuple[int, ...]]:
    """How large each named dimension is; that with a star has all that the others leave."""
    star = next((place for place, size in enumerate(sizes) if size.startswith("*")), None)
    if star is None:
        return list(shape)
    end = len(shape) - (len(sizes) - star - 1)
    return [*shape[:star], shape[star:end], *shape[end:]]


def _from_numpy(name: str, value: Any) -> Tensor:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # rows of unequal length, or an object that refuses
        raise ShapeError(f"{name} must be an array of numbers; got a {type(value).__name__}: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ShapeError(
            f"{name} must hold real numbers; got {array.dtype}, a {type(value).__name__}. Convert numbers with "
            "numpy.asarray(values, dtype=float), and number names with numpy.unique(values, return_inverse=True)[1]"
        )
    if np.ma.is_masked(value):
        raise ShapeError(f"{name} holds masked entries; leave their rows out, on both sides")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # PyTorch computes with few of these
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise ShapeError(f"{name} must hold whole numbers below 2^63; got {array.max()}")
        array = array.astype(np.int64)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # that a tensor could write to an array that must not be: no measure does
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)


def as_float64(**arrays: Array) -> tuple[Tensor, ...]:
    """Turn arrays, given by name, into float64 tensors on the device they are on, and check them as `sound` does.

    Float64 because sums over a million rows in float32 lose the digits that the measures are read for.
    """
    return sound(**{name: torch.as_tensor(array).detach().to(torch.float64) for name, array in arrays.items()})


def sound(**arrays: Array) -> tuple[Tensor, ...]:
    """Require arrays, given by name, to be on one device and without NaN and infinity, and return them as tensors.

    Raises:
        ShapeError: Naming the array that holds NaN or infinity, or the devices if there are several.
    """
    tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
    if len({tensor.device for tensor in tensors.values()}) > 1:
        found = ", ".join(f"{name} on {tensor.device}" for name, tensor in tensors.items())
        raise ShapeError(f"both sides must be on one device; got {found}. Move one with .to(...)")
    finite(**tensors)
    return tuple(tensors.values())


def same_rows(**arrays: Array) -> int:
    """Require arrays, given by name, to have one number of rows, at least one, and return it.

    Raises:
        ShapeError: Naming each array and its shape.
    """
    rows = {array.shape[0] for array in arrays.values()}
    if len(rows) > 1 or 0 in rows:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
        raise ShapeError(f"rows must pair one to one, and there must be some; got {shapes}")
    return rows.pop()


def codes(labels: Array, *others: Array) -> tuple[int, tuple[Tensor, ...]]:
    """Number the distinct values found in one or several label arrays from 0.

    Returns:
        How many distinct values there are, and the arrays with each value replaced by its number.
    """
    tensors = [torch.as_tensor(array) for array in (labels, *others)]
    values, numbered = torch.unique(torch.cat(tensors), return_inverse=True)
    return len(values), numbered.split([len(tensor) for tensor in tensors])
