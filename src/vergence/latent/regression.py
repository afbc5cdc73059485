"""Regression on true latent variables, drawn anew for every step, for oracles that have no closed form."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vergence.factors import Factor
from vergence.latent.model import LatentModel, Latents
from vergence.misalignment import Misalignment
from vergence.random import spawn

_STEPS, _BATCH, _DRAWN_AT_ONCE, _TEST = 1_280, 512, 32, 40_000
_WIDTH = 64

Features = Callable[[Latents], Tensor]


def regress(
    model: LatentModel,
    misalignment: Misalignment,
    names: Iterable[str],
    features: Features,
    *,
    generator: torch.Generator,
) -> dict[str, tuple[float, float]]:
    """Score the best predictor of some factors from features of the latent variables.

    Two networks are fitted on a stream that never repeats, so that none can overfit; their mean is scored on fresh
    draws.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong.
        names: The factors to predict.
        features: What to predict them from.
        generator: Source of randomness.

    Returns:
        By factor, R² if continuous or the Matthews correlation if discrete, not below 0, and its error: the standard
        error on the test draws plus half the difference between the two networks.
    """
    targets = [model.space[name] for name in names]
    test_stream, noise, *fits = spawn(generator, 4)
    pilot = model.sample(10_000, misalignment, generator=test_stream)
    test = model.sample(_TEST, misalignment, generator=test_stream)
    scale = _Scale(features(pilot), pilot, targets)
    inputs = scale.inputs(features(test))
    with torch.no_grad():
        first, second = (net(inputs) for net in (_fit(model, misalignment, scale, features, fit) for fit in fits))
    measured = {}
    for factor, columns, truth in zip(targets, scale.columns, scale.outputs(test).unbind(1), strict=True):
        score = _r2 if factor.is_continuous else partial(_matthews, generator=noise)
        mean, one, two = (score(out[:, columns], truth) for out in ((first + second) / 2, first, second))
        measured[factor.name] = (max(mean[0], 0.0), mean[1] + abs(one[0] - two[0]) / 2)
    return measured


class _Scale:
    """Standardises inputs and continuous targets by a first draw, and says which outputs belong to which target."""

    def __init__(self, features: Tensor, pilot: Latents, targets: list[Factor]) -> None:
        self.centre, self.spread = features.mean(0), features.std(0).clamp_min(1e-6)
        columns = torch.stack([pilot.column(factor.name) for factor in targets], dim=1)
        continuous = torch.tensor([factor.is_continuous for factor in targets])
        self.mean = torch.where(continuous, columns.mean(0), 0.0)
        self.std = torch.where(continuous, columns.std(0).clamp_min(1e-6), 1.0)
        self.targets, self.columns, self.size = targets, [], 0
        for factor in targets:
            width = len(factor.values or (None,))
            self.columns.append(slice(self.size, self.size + width))
            self.size += width

    def inputs(self, features: Tensor) -> Tensor:
        return (features - self.centre) / self.spread

    def outputs(self, latents: Latents) -> Tensor:
        """One column per target: standardised if continuous, else the position of the value."""
        columns = [latents.column(factor.name) for factor in self.targets]
        return (torch.stack(columns, dim=1) - self.mean) / self.std

    def loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        total = outputs.new_zeros(())
        for factor, columns, truth in zip(self.targets, self.columns, wanted.unbind(1), strict=True):
            if factor.is_continuous:
                total = total + nn.functional.mse_loss(outputs[:, columns.start], truth)
            else:
                total = total + nn.functional.cross_entropy(outputs[:, columns], truth.long())
        return total


class _Net(nn.Module):
    """Two hidden layers beside a linear map, which makes the Gaussian part of any dependence easy."""

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.hidden = nn.Sequential(nn.Linear(n_inputs, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU())
        self.output = nn.Linear(_WIDTH, n_outputs)
        with torch.no_grad():
            for weight in self.parameters():
                fan = weight.shape[-1] if weight.ndim == 2 else 1
                weight.copy_(torch.randn(weight.shape, generator=generator) * (fan**-0.5 if weight.ndim == 2 else 0))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.linear(inputs) + self.output(self.hidden(inputs))
        return outputs


def _fit(
    model: LatentModel,
    misalignment: Misalignment,
    scale: _Scale,
    features: Features,
    generator: torch.Generator,
) -> _Net:
    weights, batches = spawn(generator, 2)
    net = _Net(len(scale.centre), scale.size, weights)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=_STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS // _DRAWN_AT_ONCE):
            drawn = model.sample(_BATCH * _DRAWN_AT_ONCE, misalignment, generator=batches)
            inputs, targets = scale.inputs(features(drawn)), scale.outputs(drawn)
            for rows in range(0, len(drawn), _BATCH):
                optimizer.zero_grad()
                batch = slice(rows, rows + _BATCH)
                scale.loss(net(inputs[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return net


def _r2(outputs: Float[Tensor, "n 1"], truth: Float[Tensor, " n"]) -> tuple[float, float]:
    """R² and its standard error by the delta method."""
    residual = (outputs[:, 0] - truth).double().square()
    total = (truth - truth.mean()).double().square()
    score = 1 - residual.mean() / total.mean()
    influence = (residual - (1 - score) * total) / total.mean()
    return score.item(), (influence.std() / len(truth) ** 0.5).item()


def _matthews(
    outputs: Float[Tensor, "n values"], truth: Float[Tensor, " n"], *, generator: torch.Generator
) -> tuple[float, float]:
    """Matthews correlation of the most probable value and its standard error by resampling pairs."""
    count = outputs.shape[1]
    cells = truth.long() * count + outputs.argmax(dim=1)

    def of(rows: Tensor) -> float:
        return matthews_of_confusion(rows.bincount(minlength=count**2).view(count, count))

    resampled = [of(cells[torch.randint(len(cells), cells.shape, generator=generator)]) for _ in range(30)]
    return of(cells), torch.tensor(resampled).std().item()


def matthews_of_confusion(confusion: Int[Tensor, "values values"]) -> float:
    """Matthews correlation coefficient of a confusion matrix, true values in rows; 0 where either side is constant."""
    counts = confusion.double()
    n, truth, guess = counts.sum(), counts.sum(dim=1), counts.sum(dim=0)
    covariance = counts.trace() * n - truth @ guess
    scale = ((n**2 - truth @ truth) * (n**2 - guess @ guess)).sqrt()
    return (covariance / scale).item() if scale > 0 else 0.0
