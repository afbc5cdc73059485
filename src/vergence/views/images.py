"""Changes of an image that leave its semantics alone."""

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor

from vergence.checks import at_least


def random_shift(
    images: Shaped[Tensor, "batch channels height width"], *, pixels: int, generator: torch.Generator
) -> Shaped[Tensor, "batch channels height width"]:
    """Move a batch of images by one random offset, edge pixels filling the gap.

    The batch moves as one because that is a view of memory, not a gather for each image; over the steps of a training
    every image meets every offset.

    Args:
        images: Any number type.
        pixels: Largest offset in either direction, >= 0 and below the side.
        generator: Draws the offset.

    Returns:
        The moved images, of the same shape and type.

    Raises:
        ConfigError: If `pixels` is negative.

    Example:
        >>> random_shift(torch.ones(1, 3, 8, 8), pixels=2, generator=torch.Generator().manual_seed(0)).sum().item()
        192.0
    """
    at_least("pixels", pixels, 0)
    height, width = images.shape[-2:]
    top, left = torch.randint(2 * pixels + 1, (2,), generator=generator).tolist()
    padded = F.pad(images, (pixels,) * 4, mode="replicate") if pixels else images
    return padded[..., top : top + height, left : left + width]
