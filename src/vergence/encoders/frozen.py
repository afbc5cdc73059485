"""A head that learns on features that do not."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class FrozenFeatures(nn.Module):
    """A fixed backbone and a head that is fitted: the backbone takes no gradient and stays in evaluation mode.

    Args:
        backbone: Maps views to features, (batch, n_features); its parameters are marked as fixed, in place.
        head: Maps features to (batch, dim): `nn.Linear`, `MLP`, `ResidualMLP`.

    Example:
        >>> encoder = FrozenFeatures(nn.Linear(8, 6), nn.Linear(6, 2)).train()
        >>> encoder(torch.zeros(4, 8)).shape, encoder.backbone.training
        (torch.Size([4, 2]), False)
        >>> [name for name, weight in encoder.named_parameters() if weight.requires_grad]
        ['head.weight', 'head.bias']
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone.requires_grad_(False).eval(), head
        self.preprocessing = getattr(backbone, "preprocessing", None)

    def train(self, mode: bool = True) -> "FrozenFeatures":
        """Set the mode of the head; statistics and dropout of the backbone stay as they are in evaluation."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, view: Shaped[Tensor, "batch *view"]) -> Float[Tensor, "batch dim"]:
        """Encode views; no gradient passes to the backbone or to the views."""
        with torch.no_grad():
            features = self.backbone(view)
        encoded: Tensor = self.head(features)
        return encoded
