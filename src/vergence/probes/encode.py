"""From views to representations."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least
from vergence.encoders import DualEncoder
from vergence.metrics.scale import unit
from vergence.views import Views


@dataclass(frozen=True, eq=False)
class Representations:
    """Outputs of both encoders, one row for each item, on the CPU."""

    z_image: Float[Tensor, "n dim"]
    z_text: Float[Tensor, "n dim"]

    def normalized(self) -> "Representations":
        """On the unit sphere, at whatever scale they come: all that an objective of cosines determines."""
        return Representations(z_image=unit(self.z_image), z_text=unit(self.z_text))


def encode(encoder: DualEncoder, views: Views, *, device: str = "cpu", batch_size: int = 512) -> Representations:
    """Encode views in evaluation mode and without gradients; the mode of each of its parts is put back.

    Args:
        encoder: Any dual encoder; it is moved to the device.
        views: What to encode, at least one item.
        device: Where to compute.
        batch_size: Items at once, >= 1.

    Returns:
        Representations as the encoders give them, not normalised. What surrounds the call, such as autocast, holds for
        the encoders too: it is left to the caller.

    Raises:
        ConfigError: If the batch size is below 1 or there is nothing to encode.

    Example:
        >>> from vergence.views import ViewPair
        >>> encoder = DualEncoder(torch.nn.Linear(8, 4), torch.nn.Linear(3, 4))
        >>> encode(encoder, ViewPair(image=torch.zeros(5, 8), text=torch.zeros(5, 3))).z_text.shape
        torch.Size([5, 4])
    """
    at_least("batch_size", batch_size, 1)
    at_least("number of views", len(views), 1)
    modes = {module: module.training for module in encoder.modules()}  # a part may be frozen in evaluation mode
    encoder.to(device).eval()
    try:
        with torch.inference_mode():
            spans = (range(at, min(at + batch_size, len(views))) for at in range(0, len(views), batch_size))
            encoded = [encoder(batch.image.to(device), batch.text.to(device)) for batch in views.batches(spans)]
    finally:
        for module, mode in modes.items():
            module.training = mode
    z_image, z_text = (torch.cat(parts).cpu() for parts in zip(*encoded, strict=True))
    return Representations(z_image=z_image, z_text=z_text)
