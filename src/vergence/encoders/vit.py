"""The vision transformer."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.encoders.preprocessing import Preprocessing
from vergence.errors import ConfigError


class ViT(nn.Module):
    """Patches as tokens, pre-norm attention layers, and the class token's state at the end ([dosovitskiy2021]).

    The defaults are the encoder of [almudevar2025]: patch 4, 12 layers, width 384.

    Args:
        dim: Output size, >= 1.
        side: Height and width of the images in pixels; a multiple of the patch.
        patch: Side of a patch in pixels, >= 1.
        depth: Layers, >= 1.
        width: Size of a token; a multiple of the number of heads.
        heads: Attention heads, >= 1.
        preprocessing: How pixels are scaled; its side must be this one or `None`.

    Raises:
        ConfigError: If a size is below 1, the patch does not divide the side, the number of heads does not divide the
            width, or the preprocessing is for another side.

    Example:
        >>> encoder = ViT(10, side=8, patch=4, depth=2, width=16, heads=2)
        >>> encoder(torch.zeros(3, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        dim: int,
        *,
        side: int,
        patch: int = 4,
        depth: int = 12,
        width: int = 384,
        heads: int = 6,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("side", side), ("patch", patch)):
            at_least(name, size, 1)
        if side % patch:
            raise ConfigError(f"side must be a multiple of patch; got side {side}, patch {patch}")
        self.preprocessing = preprocessing.of_side(side)
        self.trunk = ClassTokenTransformer((side // patch) ** 2, depth=depth, width=width, heads=heads)
        self.embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.head = nn.Linear(width, dim)

    def forward(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Encode images given as numbers in [0, 255], of any type."""
        encoded: Tensor = self.head(self.tokens(image)[:, 0])
        return encoded

    def tokens(self, image: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch places dim"]:
        """States at the end: of the class token, then of the patches, row by row."""
        pixels = self.preprocessing(image, dtype=self.head.weight.dtype)
        patches = self.embedding(pixels).flatten(2).transpose(1, 2)
        states: Tensor = self.trunk.states(patches)
        return states


class ClassTokenTransformer(nn.Module):
    """Tokens to one vector: a class token before them, learned places, pre-norm layers, the class token normalised.

    Dropout is absent: views of the studies are drawn anew, and encoders are then deterministic.

    Args:
        max_tokens: Places beside that of the class token, >= 1.
        depth: Layers, >= 1; the hidden layer of each is four times as wide as a token, with GELU.
        width: Size of a token; a multiple of the number of heads.
        heads: Attention heads, >= 1.

    Raises:
        ConfigError: If a size is below 1, or the number of heads does not divide the width.

    Example:
        >>> ClassTokenTransformer(5, depth=1, width=8, heads=2)(torch.zeros(3, 4, 8)).shape
        torch.Size([3, 8])
    """

    def __init__(self, max_tokens: int, *, depth: int, width: int, heads: int) -> None:
        super().__init__()
        for name, size in (("max_tokens", max_tokens), ("depth", depth), ("width", width), ("heads", heads)):
            at_least(name, size, 1)
        if width % heads:
            raise ConfigError(f"width must be a multiple of heads; got width {width}, heads {heads}")
        self.token = nn.Parameter(torch.empty(1, 1, width))
        self.places = nn.Parameter(torch.empty(1, max_tokens + 1, width))
        for weight in (self.token, self.places):
            nn.init.trunc_normal_(weight, std=0.02)
        # Made one by one: nn.TransformerEncoder would copy the first, so that all layers start equal.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Float[Tensor, "batch n width"], *, hidden: Bool[Tensor, "batch n"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """Encode at most `max_tokens` tokens; nothing attends to those that are hidden."""
        return self.states(tokens, hidden=hidden)[:, 0]

    def states(
        self, tokens: Float[Tensor, "batch n width"], *, hidden: Bool[Tensor, "batch n"] | None = None
    ) -> Float[Tensor, "batch places width"]:
        """All states at the end, that of the class token first."""
        x = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1) + self.places[:, : tokens.shape[1] + 1]
        if hidden is not None:
            hidden = nn.functional.pad(hidden, (1, 0), value=False)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=hidden)
        states: Tensor = self.norm(x)
        return states
