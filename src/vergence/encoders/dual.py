"""The pair of encoders that contrastive training fits."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.decoding import as_image
from vergence.encoders.batches import groups, rows_of, several_images, several_texts
from vergence.encoders.text import Vocabulary
from vergence.errors import ConfigError
from vergence.images import stacked


class DualEncoder(nn.Module):
    """An image encoder and a text encoder with outputs of one size.

    Args:
        image: Maps a batch of image views to (batch, dim).
        text: Maps a batch of text views to (batch, dim).
        side: Pixels of a side to which `embed_images` brings images, >= 1; as they are if `None`.
        vocabulary: What `embed_texts` numbers words with.

    Raises:
        ConfigError: If the side is below 1.

    Example:
        >>> encoder = DualEncoder(nn.Linear(8, 4), nn.Linear(3, 4))
        >>> z_image, z_text = encoder(torch.zeros(2, 8), torch.zeros(2, 3))
        >>> z_image.shape == z_text.shape == (2, 4)
        True
    """

    def __init__(
        self, image: nn.Module, text: nn.Module, *, side: int | None = None, vocabulary: Vocabulary | None = None
    ) -> None:
        super().__init__()
        if side is not None:
            at_least("side", side, 1)
        self.image, self.text = image, text
        self.side, self.vocabulary = side, vocabulary

    def forward(
        self, image: Shaped[Tensor, "batch *image"], text: Shaped[Tensor, "batch *text"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch _"]]:
        """Encode paired views; outputs are as the encoders give them, not normalised.

        Both have one size, but for label codes that stand in for texts (`vergence.training.supervised`).
        """
        return self.image(image), self.text(text)

    def embed_images(
        self, images: Iterable[object] | Image.Image | Path, *, batch_size: int = 128
    ) -> Float[Tensor, "n dim"]:
        """Encode images given in any way, in evaluation mode and without gradients.

        Args:
            images: Paths, bytes of files, Pillow images, arrays or tensors of whole numbers in [0, 255], mixed or not:
                see `vergence.decoding.as_image`. They are taken as they are needed, so a generator will do.
            batch_size: Images at once, >= 1.

        Returns:
            A row for each, on the CPU, not normalised. The encoder stays where it is, and in the mode it is in.

        Raises:
            ConfigError: If one image is given for the list, there is none, or the batch size is below 1.
            CorpusError: If a file is missing or damaged.
            ShapeError: If something is no image, or images are of different sizes and the encoder has no side.

        Example:
            >>> import numpy as np
            >>> from vergence.encoders import BagOfWordsEncoder, ConvEncoder
            >>> words = Vocabulary.of(["a red cube"])
            >>> encoder = DualEncoder(ConvEncoder(4), BagOfWordsEncoder(len(words), 4), side=16, vocabulary=words)
            >>> encoder.embed_images([Image.new("L", (9, 5)), np.zeros((30, 20, 3), np.uint8)]).shape
            torch.Size([2, 4])
        """
        at_least("batch_size", batch_size, 1)
        taken = groups(map(as_image, several_images(images)), batch_size)
        return self._embedded(self.image, (stacked(batch, len(batch), side=self.side) for batch in taken))

    def embed_texts(self, texts: Iterable[str], *, batch_size: int = 512) -> Float[Tensor, "n dim"]:
        """Encode texts, in evaluation mode and without gradients; words beyond what the encoder takes are cut.

        Args:
            texts: Texts; they are taken as they are needed.
            batch_size: Texts at once, >= 1.

        Returns:
            A row for each, on the CPU, not normalised.

        Raises:
            ConfigError: If one text is given for the list, there is none, the encoder has no vocabulary, or the batch
                size is below 1.

        Example:
            >>> from vergence.encoders import BagOfWordsEncoder
            >>> words = Vocabulary.of(["a red cube"])
            >>> encoder = DualEncoder(nn.Identity(), BagOfWordsEncoder(len(words), 4), vocabulary=words)
            >>> encoder.embed_texts(["red"]).shape
            torch.Size([1, 4])
        """
        at_least("batch_size", batch_size, 1)
        words = self.vocabulary
        if words is None:
            raise ConfigError("this encoder has no vocabulary to number words with; make it with vocabulary=")
        most: int | None = getattr(self.text, "max_length", None)
        return self._embedded(
            self.text, (words.encode(batch)[:, :most] for batch in groups(several_texts(texts), batch_size))
        )

    def _embedded(self, tower: nn.Module, batches: Iterator[Tensor]) -> Float[Tensor, "n dim"]:
        device = next((weight.device for weight in tower.parameters()), torch.device("cpu"))
        modes = {module: module.training for module in tower.modules()}  # a part may be frozen in evaluation mode
        tower.eval()
        try:
            with torch.inference_mode():
                return rows_of(tower(batch.to(device)).cpu() for batch in batches)
        finally:
            for module, mode in modes.items():
                module.training = mode
