"""The one door of every loss: what it takes for representations, and in which precision it computes."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass, replace
from functools import reduce, wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import AbstractArray
from torch import Tensor

from vergence.errors import ShapeError

_F = TypeVar("_F", bound=Callable[..., Any])


def guarded(function: _F) -> _F:
    """Make a function of representations a loss: all of them in one type, float32 or wider, whatever autocast is on.

    Representations are the arguments annotated as `Float[Tensor, ...]` and distributions, which hold such. They keep
    their gradients; of a float32 and a float64 one both become float64.

    Raises:
        ShapeError: When called with what is no dense tensor of real floating-point numbers, or with tensors on several
            devices; naming the argument.

    Example:
        >>> from jaxtyping import Float
        >>> @guarded
        ... def distance(z_image: Float[Tensor, "batch dim"], z_text: Float[Tensor, "batch dim"]) -> Tensor:
        ...     return (z_image - z_text).square().mean()
        >>> distance(torch.eye(2).bfloat16(), torch.eye(2).double())
        tensor(0., dtype=torch.float64)
        >>> distance([[1.0]], [[0.0]])
        Traceback (most recent call last):
        vergence.errors.ShapeError: z_image must be a Tensor; got a list
    """
    parameters = inspect.signature(function).parameters
    names = tuple(parameters)
    kinds = {name: _kind(parameter.annotation) for name, parameter in parameters.items()}

    @wraps(function)
    def computed(*args: Any, **settings: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | settings
        given = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
        taken = {name: value for name, value in given.items() if kinds.get(name) and value is not None}
        for name, value in taken.items():
            if not isinstance(value, kinds[name] or ()):
                raise ShapeError(f"{name} must be a {kinds[name].__name__}; got a {type(value).__name__}")
        given |= of_one_type(**taken)
        with without_autocast(*taken.values()):
            first = [given.pop(name) for name in names[: len(args)]]
            return function(*first, *args[len(names) :], **given)

    return cast(_F, computed)


def of_one_type(**representations: Any) -> dict[str, Any]:
    """Representations by name, in the widest of their types and at least float32; see `guarded` for what is refused."""
    tensors = [part for name, value in representations.items() for part in _parts(name, value)]
    if len({part.device for part in tensors}) > 1:
        found = ", ".join(f"{name} on {_parts(name, value)[0].device}" for name, value in representations.items())
        raise ShapeError(f"representations must be on one device; got {found}. Move them with .to(...)")
    dtype = reduce(torch.promote_types, (part.dtype for part in tensors), torch.float32)
    return {name: _converted(value, dtype) for name, value in representations.items()}


def without_autocast(*representations: Any) -> AbstractContextManager[Any]:
    """A context that computes in the types of the representations."""
    device = next((part.device.type for value in representations for part in _parts("", value)), "cpu")
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _kind(annotation: Any) -> Any:
    """What a representation has to be an instance of; `None` for any other argument."""
    for one in getattr(annotation, "__args__", (annotation,)):
        if isinstance(one, type) and issubclass(one, AbstractArray) and "float32" in one.dtypes:
            return Tensor
        if isinstance(one, type) and is_dataclass(one):
            return one
    return None


def _parts(name: str, value: Any) -> list[Tensor]:
    """The tensors of a representation: itself, or the parameters of a distribution."""
    if is_dataclass(value) and not isinstance(value, type):
        return [part for one in fields(value) for part in _parts(f"{name}.{one.name}", getattr(value, one.name))]
    if not isinstance(value, Tensor):
        raise ShapeError(f"{name} must be a Tensor; got a {type(value).__name__}")
    if not value.is_floating_point() or value.layout != torch.strided:
        found = value.dtype if value.layout == torch.strided else value.layout
        raise ShapeError(f"{name} must hold floating-point numbers, densely; got {found}. Convert it with .float()")
    return [value]


def _converted(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype)
    return replace(value, **{one.name: getattr(value, one.name).to(dtype) for one in fields(value)})
