"""The pair of encoders that contrastive training fits."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn


class DualEncoder(nn.Module):
    """An image encoder and a text encoder with outputs of one size.

    Args:
        image: Maps a batch of image views to (batch, dim).
        text: Maps a batch of text views to (batch, dim).

    Example:
        >>> import torch
        >>> encoder = DualEncoder(nn.Linear(8, 4), nn.Linear(3, 4))
        >>> z_image, z_text = encoder(torch.zeros(2, 8), torch.zeros(2, 3))
        >>> z_image.shape == z_text.shape == (2, 4)
        True
    """

    def __init__(self, image: nn.Module, text: nn.Module) -> None:
        super().__init__()
        self.image, self.text = image, text

    def forward(
        self, image: Shaped[Tensor, "batch *image"], text: Shaped[Tensor, "batch *text"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Encode paired views; outputs are as the encoders give them, not normalised."""
        return self.image(image), self.text(text)
