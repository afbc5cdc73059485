"""Regression on true latent variables, drawn anew for every step, for oracles that have no closed form."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vergence.factors import Factor
from vergence.latent.model import LatentModel, Latents
from vergence.misalignment import Misalignment
from vergence.random import spawn

_BATCH, _DRAWN_AT_ONCE, _TEST = 512, 32, 40_000
_PILOT = 262_144  # draws by which variables are standardised and linear predictors fitted
_ROUNDS = (1_280, 1_280, 2_560, 5_120, 10_240)  # steps; each round starts from the last
_GAIN = 2e-3  # of a round that calls for another one
_WIDTH, _RATE = 128, 3e-3
_SHARES = tuple(tenth / 10 for tenth in range(11))  # of the logarithm of prior odds, taken off before deciding

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

    What is linear is fitted by least squares in float64. Two networks are fitted to the rest on a stream that never
    repeats, so that none can overfit, in rounds of doubling length until a round gains less than 0.002; their mean is
    scored on fresh draws.

    Args:
        model: The latent variable model.
        misalignment: What the text mentions and what of it may be wrong.
        names: The factors to predict.
        features: What to predict them from.
        generator: Source of randomness.

    Returns:
        By factor, R² if continuous or the Matthews correlation if discrete, not below 0, and its error: the standard
        error on the test draws, half the difference between the two networks and what the last round gained, added up.
    """
    targets = [model.space[name] for name in names]
    test_stream, noise, *fits = spawn(generator, 4)
    scale = _Scale(model, misalignment, features, targets, test_stream)
    test = model.sample(_TEST, misalignment, generator=test_stream)
    inputs, wanted = scale.inputs(features(test)), scale.outputs(test)
    learners = [_Learner(model, misalignment, features, scale, fit) for fit in fits]
    measured: dict[str, tuple[float, float]] = {}
    for steps in _ROUNDS:
        for learner in learners:
            learner.train(steps)
        with torch.no_grad():
            first, second = (scale.predict(learner.net, inputs) for learner in learners)
        before, gains = measured, [0.0]
        measured = {}
        for factor, columns, truth in zip(targets, scale.columns, wanted.unbind(1), strict=True):
            score = _r2 if factor.is_continuous else partial(_matthews, generator=noise)
            mean, one, two = (score(out[:, columns], truth) for out in ((first + second) / 2, first, second))
            gain = max(mean[0] - before[factor.name][0], 0.0) if before else 0.0
            gains.append(gain)
            measured[factor.name] = (max(mean[0], 0.0), mean[1] + abs(one[0] - two[0]) / 2 + gain)
        if before and max(gains) < _GAIN:
            break
    return measured


class _Scale:
    """Whitens inputs, standardises continuous targets and predicts what is linear of them, all by a first draw."""

    def __init__(
        self,
        model: LatentModel,
        misalignment: Misalignment,
        features: Features,
        targets: list[Factor],
        stream: torch.Generator,
    ) -> None:
        self.targets, self.columns, self.size = targets, [], 0
        for factor in targets:
            width = len(factor.values or (None,))
            self.columns.append(slice(self.size, self.size + width))
            self.size += width
        # Moments of inputs and targets together, so that hundreds of variables need not be held at once.
        rows, n_batches = _BATCH * _DRAWN_AT_ONCE, _PILOT // (_BATCH * _DRAWN_AT_ONCE)
        total = products = None
        for _ in range(n_batches):
            latents = model.sample(rows, misalignment, generator=stream)
            both = torch.cat([features(latents), self._values(latents)], dim=1).double()
            total = both.sum(0) if total is None else total + both.sum(0)
            products = both.T @ both if products is None else products + both.T @ both
        assert total is not None
        assert products is not None
        mean = total / (rows * n_batches)
        covariance = products / (rows * n_batches) - mean[:, None] * mean
        n_inputs = len(mean) - len(targets)
        self.centre, among = mean[:n_inputs], covariance[:n_inputs, :n_inputs]
        values, vectors = torch.linalg.eigh(among)
        kept = values > 1e-10 * values[-1].clamp_min(1e-300)  # one-hot codes add up to 1: directions without variance
        self.whiten = vectors[:, kept] / values[kept].sqrt()
        continuous = torch.tensor([factor.is_continuous for factor in targets])
        self.mean = torch.where(continuous, mean[n_inputs:], 0.0)
        self.std = torch.where(continuous, covariance.diagonal()[n_inputs:].clamp_min(1e-12).sqrt(), 1.0)
        linear = self.whiten.T @ covariance[:n_inputs, n_inputs:] / self.std
        self.linear = torch.where(continuous, linear, 0.0)
        unexplained = (1 - self.linear.square().sum(0)).clamp_min(1e-6).sqrt()
        self.rest = torch.where(continuous, unexplained, 1.0)

    def inputs(self, features: Tensor) -> Tensor:
        white: Tensor = (features.double() - self.centre) @ self.whiten
        return white

    def outputs(self, latents: Latents) -> Tensor:
        """One column per target: standardised if continuous, else the position of the value."""
        return (self._values(latents).double() - self.mean) / self.std

    def predict(self, net: nn.Module, inputs: Tensor) -> Tensor:
        """Standardised values of continuous targets, and logits of the values of discrete ones."""
        outputs: Tensor = net(inputs.float()).double()
        for position, (factor, columns) in enumerate(zip(self.targets, self.columns, strict=True)):
            if factor.is_continuous:
                outputs[:, columns] *= self.rest[position]
                outputs[:, columns] += (inputs @ self.linear[:, position])[:, None]
        return outputs

    def loss(self, outputs: Tensor, inputs: Tensor, wanted: Tensor) -> Tensor:
        """Of the network's outputs: squared errors relative to what is left to explain, and cross-entropies."""
        rest = ((wanted - inputs @ self.linear) / self.rest).float()
        total = outputs.new_zeros(())
        for position, (factor, columns) in enumerate(zip(self.targets, self.columns, strict=True)):
            if factor.is_continuous:
                total = total + nn.functional.mse_loss(outputs[:, columns.start], rest[:, position])
            else:
                total = total + nn.functional.cross_entropy(outputs[:, columns], wanted[:, position].long())
        return total

    def _values(self, latents: Latents) -> Tensor:
        return torch.stack([latents.column(factor.name) for factor in self.targets], dim=1)


class _Net(nn.Module):
    """Two hidden layers beside a linear map, which logits need and residuals do not mind."""

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.hidden = nn.Sequential(nn.Linear(n_inputs, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU())
        self.output = nn.Linear(_WIDTH, n_outputs)
        with torch.no_grad():
            for weight in self.hidden.parameters():
                fan = weight.shape[-1] if weight.ndim == 2 else 1
                weight.copy_(torch.randn(weight.shape, generator=generator) * fan**-0.5)
            for weight in (*self.linear.parameters(), *self.output.parameters()):
                weight.zero_()
            # Half of the first units are up to 32 times steeper, each around a point of its own: for what turns fast.
            first = cast("nn.Linear", self.hidden[0])
            steeper = torch.logspace(0, 5, _WIDTH // 2, base=2.0)[:, None]
            first.weight[: _WIDTH // 2] *= steeper
            points = torch.randn(_WIDTH // 2, n_inputs, generator=generator)
            first.bias[: _WIDTH // 2] = -(first.weight[: _WIDTH // 2] * points).sum(1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.linear(inputs) + self.output(self.hidden(inputs))
        return outputs


class _Learner:
    """A network, and the stream that it learns from."""

    def __init__(
        self,
        model: LatentModel,
        misalignment: Misalignment,
        features: Features,
        scale: _Scale,
        generator: torch.Generator,
    ) -> None:
        weights, batches = spawn(generator, 2)
        self.scale, self.features = scale, features
        self.batches = model.stream(_BATCH * _DRAWN_AT_ONCE, misalignment, generator=batches)
        self.net = _Net(scale.whiten.shape[1], scale.size, weights)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=_RATE, fused=True)

    def train(self, steps: int) -> None:
        """Take so many steps, at a rate that falls to nothing."""
        with torch.enable_grad():
            for step in range(steps):
                start = step % _DRAWN_AT_ONCE * _BATCH
                if start == 0:
                    drawn = next(self.batches)
                    inputs, wanted = self.scale.inputs(self.features(drawn)), self.scale.outputs(drawn)
                rows = slice(start, start + _BATCH)
                self.optimizer.param_groups[0]["lr"] = _RATE * (1 - step / steps)
                self.optimizer.zero_grad()
                loss = self.scale.loss(self.net(inputs[rows].float()), inputs[rows], wanted[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()


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
    """Matthews correlation of the best rule, chosen on one half of the draws, and its error by resampling the other."""
    count = outputs.shape[1]
    prior = (truth.long().bincount(minlength=count) + 0.5).log()
    truths, logits = truth.long().chunk(2), outputs.chunk(2)

    def cells(half: int, share: float) -> Tensor:
        return truths[half] * count + (logits[half] - share * prior).argmax(dim=1)

    def of(chosen: Tensor) -> float:
        return matthews_of_confusion(chosen.bincount(minlength=count**2).view(count, count))

    best = max(_SHARES, key=lambda share: of(cells(0, share)))
    scored = cells(1, best)
    resampled = [of(scored[torch.randint(len(scored), scored.shape, generator=generator)]) for _ in range(30)]
    return of(scored), torch.tensor(resampled).std().item()


def matthews_of_confusion(confusion: Int[Tensor, "values values"]) -> float:
    """Matthews correlation coefficient of a confusion matrix, true values in rows; 0 where either side is constant."""
    counts = confusion.double()
    n, truth, guess = counts.sum(), counts.sum(dim=1), counts.sum(dim=0)
    covariance = counts.trace() * n - truth @ guess
    scale = ((n**2 - truth @ truth) * (n**2 - guess @ guess)).sqrt()
    return (covariance / scale).item() if scale > 0 else 0.0
