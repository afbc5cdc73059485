"""What all encoders do with what they are given to embed."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from vergence.errors import ConfigError

T = TypeVar("T")


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items as they come, so many at a time."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def several_images(images: Any) -> Iterable[object]:
    """Images given as a list, not one in place of it.

    Raises:
        ConfigError: If it is one image.
    """
    if isinstance(images, str | bytes | Path | Image.Image) or getattr(images, "ndim", 4) < 4:
        raise ConfigError(f"images must be a list of images; got one, of {type(images).__name__}. Write [image]")
    return images  # type: ignore[no-any-return]


def several_texts(texts: Iterable[str]) -> Iterable[str]:
    """Texts given as a list, not one in place of it.

    Raises:
        ConfigError: If it is one text.
    """
    if isinstance(texts, str):
        raise ConfigError(f"texts must be a list of texts; got the string {texts!r}. Write [{texts!r}]")
    return texts


def rows_of(parts: Iterable[Tensor]) -> Tensor:
    """Parts below each other.

    Raises:
        ConfigError: If there is none.
    """
    held = list(parts)
    if not held:
        raise ConfigError("there is nothing to embed; give at least one item")
    return torch.cat(held).clone()
