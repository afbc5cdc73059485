"""The MLP probe: one that can undo any smooth mixing, given enough items."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from vergence.checks import at_least, non_negative, positive
from vergence.metrics.arrays import Array, as_float64, guarded
from vergence.metrics.folds import assign_folds, fitting_half
from vergence.metrics.linear import Standardiser
from vergence.random import check_seed, named

_HELD_OUT = 10  # one item of so many decides when to stop


@dataclass(frozen=True, kw_only=True)
class MLP:
    """A network with hidden layers of ReLU for real targets (squared error) or integer classes (cross-entropy).

    Source: [cai2025] probes with 100 hidden units. Features, and real targets, are standardised by the fitting half. A
    tenth of the items (whole groups, where given) is held out to decide when to stop; the best weights are kept. All
    targets share the hidden layers.

    Args:
        hidden: Widths of the hidden layers; none gives a linear probe.
        learning_rate: Of Adam, > 0.
        weight_decay: Of AdamW, >= 0.
        batch_size: Items in a step, at least 1.
        max_epochs: Passes over the items at most.
        patience: Passes without a better held-out loss after which to stop.
        seed: Decides the first weights and the order of items.

    Raises:
        ConfigError: If a value is outside its range.

    Example:
        >>> z = torch.rand(1200, 2, generator=torch.Generator().manual_seed(0))
        >>> targets = z.prod(1)
        >>> fitted = MLP(max_epochs=40).fit(z[:1000], targets[:1000])
        >>> bool(((fitted.predict(z[1000:]) - targets[1000:]) ** 2).mean() < 0.05 * targets.var())
        True
    """

    hidden: tuple[int, ...] = (100,)
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    batch_size: int = 128
    max_epochs: int = 200
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for width in self.hidden:
            at_least("hidden", width, 1)
        positive("learning_rate", self.learning_rate)
        non_negative("weight_decay", self.weight_decay)
        for name in ("batch_size", "max_epochs", "patience"):
            at_least(name, getattr(self, name), 1)
        check_seed(self.seed)

    @guarded
    def fit(
        self,
        z: Float[Array, "n dim"],
        targets: Shaped[Array, "n *targets"],
        *,
        groups: Integer[Array, "n"] | None = None,
    ) -> "FittedMLP":
        """Train until the held-out loss no longer falls.

        Args:
            z: Representations of the fitting half.
            targets: Real values, one column per target or one target as a vector; or integer classes as a vector.
            groups: Which items are held out together; `None` if all are independent.

        Raises:
            ShapeError: If rows do not pair, an entry is not finite, or there are fewer than ten groups of items.
        """
        x, y, together = fitting_half(z, targets, groups)
        standardise = Standardiser.of(x)
        x = standardise.apply(x).float()
        classes = None if y.is_floating_point() else torch.unique(y)
        if classes is None:
            scale = Standardiser.of(y.reshape(len(y), -1))
            goal = scale.apply(y.reshape(len(y), -1)).float()
            width = goal.shape[1]
        else:
            scale, goal, width = None, torch.searchsorted(classes, y), len(classes)
        network = _network([x.shape[1], *self.hidden, width], named(self.seed, "weights")).to(x.device)
        held_out = assign_folds(together, _HELD_OUT) == 0
        self._train(network, (x[~held_out], goal[~held_out]), (x[held_out], goal[held_out]))
        return FittedMLP(
            standardise=standardise, network=network, classes=classes, scale=scale, shape=tuple(y.shape[1:])
        )

    def _train(self, network: nn.Sequential, fitting: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> None:
        x, goal = fitting
        loss = nn.functional.mse_loss if goal.is_floating_point() else nn.functional.cross_entropy
        order = named(self.seed, "order")
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        best, waited, kept = float("inf"), 0, {k: v.clone() for k, v in network.state_dict().items()}
        for _ in range(self.max_epochs):
            shuffled = torch.randperm(len(x), generator=order).to(x.device)
            for start in range(0, len(x), self.batch_size):
                batch = shuffled[start : start + self.batch_size]
                optimiser.zero_grad()
                with torch.enable_grad():
                    loss(network(x[batch]), goal[batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            now = float(loss(network(held_out[0]), held_out[1]))
            if now < best:
                best, waited, kept = now, 0, {k: v.clone() for k, v in network.state_dict().items()}
            elif (waited := waited + 1) >= self.patience:
                break
        network.load_state_dict(kept)


@dataclass(frozen=True, kw_only=True)
class FittedMLP:
    """A trained network between the scales of features and targets."""

    standardise: Standardiser
    network: nn.Sequential
    classes: Integer[Tensor, "classes"] | None
    scale: Standardiser | None
    shape: tuple[int, ...]

    @guarded
    def predict(self, z: Float[Array, "n dim"]) -> Shaped[Tensor, "n *shape"]:
        """Predicted targets or classes of each row, shaped as those of the fitting half."""
        output = self._outputs(z)
        if self.classes is not None:
            return self.classes[output.argmax(1)]
        assert self.scale is not None
        values: Tensor = output * self.scale.scale + self.scale.mean
        return values.reshape(len(z), *self.shape)

    @guarded
    def log_probabilities(self, z: Float[Array, "n dim"]) -> Float[Tensor, "n classes"]:
        """Natural logarithm of the probability of each class, in the order of `classes`; of classifiers only."""
        assert self.classes is not None, "a regression has no class probabilities"
        return torch.log_softmax(self._outputs(z), dim=1)

    def _outputs(self, z: Array) -> Float[Tensor, "n outputs"]:
        (x,) = as_float64(z=z)
        outputs: Tensor = self.network(self.standardise.apply(x).float()).double()
        return outputs


def _network(widths: list[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLU between, their weights drawn from the generator by He's rule."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float32)  # type: ignore[no-untyped-call]
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
