"""What training minimises: named, weighted terms, and every one of them reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from vergence.checks import non_negative, one_of, probability
from vergence.errors import ConfigError
from vergence.losses.bottleneck import DiagonalGaussian
from vergence.losses.multimodal import Pairing, all_pairs, over_pairs
from vergence.losses.shares import share_of

Schedule = Callable[[float], float]  # share of the training done, in [0, 1] -> weight
Representation = Tensor | DiagonalGaussian

RESERVED = ("total", "epoch", "rate")
"""Columns of a training's history that are not terms; no term may have such a name."""


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A weight that goes straight from one value to another while training goes from one share to another.

    Args:
        first: Weight until `start`, >= 0.
        last: Weight from `stop` on, >= 0.
        start: Share of the training at which it begins to move, in [0, 1].
        stop: Share at which it has arrived, above `start`.

    Raises:
        ConfigError: If an argument is outside its range.

    Example:
        >>> ramp = Ramp(first=0.0, last=0.1, stop=0.5)
        >>> ramp(0.0), ramp(0.25), ramp(1.0)
        (0.0, 0.05, 0.1)
    """

    first: float = 0.0
    last: float = 1.0
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        non_negative("first", self.first)
        non_negative("last", self.last)
        probability("start", self.start)
        probability("stop", self.stop)
        if self.start >= self.stop:
            raise ConfigError(f"start must be below stop; got {self.start!r} and {self.stop!r}")

    def __call__(self, progress: float) -> float:
        """Return the weight at a share of the training done."""
        share = min(max((progress - self.start) / (self.stop - self.start), 0.0), 1.0)
        return (1 - share) * self.first + share * self.last


@dataclass(frozen=True, kw_only=True)
class LossParts:
    """A loss and what it is made of.

    Args:
        total: Weighted sum of the terms; what to call `backward` on.
        terms: Each term by name, not weighted.
        weights: Each term's weight in this total.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
    weights: Mapping[str, float]

    def to_floats(self) -> dict[str, float]:
        """Return the total and the terms as numbers, ready for a log line."""
        return {"total": self.total.item(), **{name: term.item() for name, term in self.terms.items()}}


class WeightedTerm(nn.Module):
    """A loss function of two representations, its settings and its weight.

    Args:
        fn: Any function of this package, or your own, from two batches of representations to a scalar.
        weight: A number >= 0, or a function of training progress in [0, 1].
        settings: Keyword arguments of `fn`. A module, such as `LearnedTemperature`, is called for its current value and
            becomes part of the objective's parameters.

    Raises:
        ConfigError: If the weight is negative or not finite.

    Example:
        >>> from vergence.losses import LearnedTemperature, info_nce
        >>> term = WeightedTerm(info_nce, 1.0, temperature=LearnedTemperature())
        >>> [name for name, _ in term.named_parameters()]
        ['learned.temperature.log_temperature']
    """

    def __init__(self, fn: Callable[..., Tensor], weight: float | Schedule = 1.0, **settings: Any) -> None:
        super().__init__()
        if not callable(weight):
            non_negative("weight", weight)
        self.fn, self.weight = fn, weight
        self.learned = nn.ModuleDict({name: value for name, value in settings.items() if isinstance(value, nn.Module)})
        self.settings = {name: value for name, value in settings.items() if name not in self.learned}

    def forward(self, z_image: Representation, z_text: Representation, *, rows: slice | None = None) -> Tensor:
        """Return the term, not weighted; or, see `share_of`, what some rows contribute to it."""
        settings = self.settings | {name: module() for name, module in self.learned.items()}
        if rows is None:
            return self.fn(z_image, z_text, **settings)
        return share_of(self.fn, z_image, z_text, rows=rows, **settings)

    def weight_at(self, progress: float | None) -> float:
        """Return the weight at a share of the training done.

        Raises:
            ConfigError: If the weight is scheduled and the progress is not given or outside [0, 1].
        """
        if not callable(self.weight):
            return self.weight
        if progress is None:
            raise ConfigError("a scheduled weight needs progress, the share of training done in [0, 1]; got None")
        probability("progress", progress)
        weight = self.weight(progress)
        non_negative("weight", weight)
        return weight


class PosteriorTerm(WeightedTerm):
    """A term on the distributions that stochastic encoders give, such as `variational_bottleneck`.

    Other terms of the same objective get one sample of each in training, the same for all, and the means in evaluation.
    """


class OutputTerm(WeightedTerm):
    """A term on outputs of a model by name, whatever they are: logits of words, queries of images: see `Objective.on`.

    Args:
        fn: A function of outputs to a scalar.
        weight: As of `WeightedTerm`.
        reads: Which output each argument of `fn` is.
        settings: Further keyword arguments of `fn`, as of `WeightedTerm`.

    Example:
        >>> from vergence.losses import captioning_loss
        >>> term = OutputTerm(captioning_loss, 1.0, reads={"logits": "next_words", "ids": "ids"}, label_smoothing=0.1)
        >>> round(term.of({"next_words": torch.zeros(1, 3, 8), "ids": torch.tensor([[2, 5, 3]])}).item(), 4)
        2.0794
    """

    def __init__(
        self,
        fn: Callable[..., Tensor],
        weight: float | Schedule = 1.0,
        *,
        reads: Mapping[str, str],
        **settings: Any,
    ) -> None:
        super().__init__(fn, weight, **settings)
        self.reads = dict(reads)

    def of(self, outputs: Mapping[str, Any]) -> Tensor:
        """Return the term, not weighted.

        Raises:
            ConfigError: If it reads an output that is not there.
        """
        for name in self.reads.values():
            one_of("output", name, outputs)
        settings = self.settings | {name: module() for name, module in self.learned.items()}
        return self.fn(**{argument: outputs[name] for argument, name in self.reads.items()}, **settings)


class Objective(nn.Module):
    r"""A weighted sum of named terms, $\sum_k w_k L_k$, that also holds what the terms learn.

    Every term of this package is a mean over the batch, so the gradient with respect to one row is of order 1/batch,
    whatever the number of processes that share the batch, and of modalities.

    Args:
        terms: At least one term by name; a name is an identifier.
        pairs: Which modalities to compare, when there are more than two: see `over_pairs`.

    Raises:
        ConfigError: If there is no term, or a name cannot be one.

    Example:
        >>> import torch
        >>> from vergence.losses import alignment_penalty, info_nce
        >>> objective = Objective({
        ...     "contrast": WeightedTerm(info_nce, 1.0, temperature=1.0),
        ...     "bottleneck": WeightedTerm(alignment_penalty, 0.1),
        ... })
        >>> parts = objective(torch.eye(4), -torch.eye(4))
        >>> {name: round(value, 3) for name, value in parts.to_floats().items()}
        {'total': 2.614, 'contrast': 2.214, 'bottleneck': 4.0}
    """

    def __init__(self, terms: Mapping[str, WeightedTerm], *, pairs: Pairing = all_pairs) -> None:
        super().__init__()
        if not terms:
            raise ConfigError("an objective needs at least one term; got none")
        for name in terms:
            if not name.isidentifier() or hasattr(nn.ModuleDict, name):
                raise ConfigError(f"a term's name must be an identifier that modules leave free; got {name!r}")
            if name in RESERVED:
                columns = ", ".join(RESERVED)
                raise ConfigError(f"a term must not be called as these columns of a history: {columns}; got {name!r}")
        self.terms = nn.ModuleDict(terms)
        self.pairs = pairs

    def forward(
        self,
        z_image: Representation | Mapping[str, Representation],
        z_text: Representation | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        progress: float | None = None,
        generator: torch.Generator | None = None,
        rows: slice | None = None,
    ) -> LossParts:
        """Evaluate every term; those of weight 0 too, so that their values are reported.

        Args:
            z_image: Representations of the images; or of all modalities by name, and then no `z_text`.
            z_text: Representations of the texts that they pair with, in the same order.
            present: Which items have which modality, when modalities are given by name: see `over_pairs`.
            progress: Share of the training done, in [0, 1]; needed by scheduled weights only.
            generator: What samples of stochastic representations are drawn with.
            rows: Evaluate only what these items contribute, as one of several processes does: over slices that divide
                the batch, every term adds up to its value on all of it. Not together with `present`.

        Raises:
            ConfigError: If rows and `present` are given, a weight is scheduled and the progress is missing, or a
                `PosteriorTerm` gets plain tensors.
        """
        named = isinstance(z_image, Mapping)
        if named == (z_text is not None) or (present is not None and not named):
            raise ConfigError("give z_image and z_text, or one mapping of modalities with, at most, what is present")
        if rows is not None and present is not None:
            raise ConfigError("rows must be None where modalities are missing; got both rows and present")
        z = dict(z_image) if isinstance(z_image, Mapping) else {"image": z_image, "text": z_text}
        drawn = {name: self._draw(part, generator) for name, part in z.items()}
        terms = cast(Mapping[str, WeightedTerm], self.terms)
        if reading := [name for name, term in terms.items() if isinstance(term, OutputTerm)]:
            raise ConfigError(f"the term {reading[0]!r} reads outputs by name; call objective.on(outputs)")
        evaluate = partial(over_pairs, pairs=self.pairs, present=present, rows=rows)
        values = {
            name: evaluate(term, _posteriors(name, z) if isinstance(term, PosteriorTerm) else drawn)
            for name, term in terms.items()
        }
        return self._weighted(values, progress)

    def on(self, outputs: Mapping[str, Any], *, progress: float | None = None) -> LossParts:
        """Evaluate terms on outputs of a model by name.

        Args:
            outputs: What any term reads.
            progress: Share of the training done, in [0, 1]; needed by scheduled weights only.

        Raises:
            ConfigError: If a term is none on outputs, reads one that is not there, or is scheduled without progress.
        """
        values = {}
        for name, term in self.terms.items():
            if not isinstance(term, OutputTerm):
                raise ConfigError(f"the term {name!r} compares two representations; make it an OutputTerm")
            values[name] = term.of(outputs)
        return self._weighted(values, progress)

    def _weighted(self, values: Mapping[str, Tensor], progress: float | None) -> LossParts:
        terms = cast(Mapping[str, WeightedTerm], self.terms)
        weights = {name: term.weight_at(progress) for name, term in terms.items()}
        total = torch.stack([weights[name] * value for name, value in values.items()]).sum()
        return LossParts(total=total, terms=values, weights=weights)

    def _draw(self, z: Representation | None, generator: torch.Generator | None) -> Tensor | None:
        if isinstance(z, DiagonalGaussian):
            return z.sample(generator=generator) if self.training else z.mean
        return z


def _posteriors(term: str, z: Mapping[str, Representation | None]) -> Mapping[str, Representation | None]:
    for name, part in z.items():
        if not isinstance(part, DiagonalGaussian):
            raise ConfigError(
                f"the term {term!r} compares distributions; got a plain representation of {name!r}. "
                "Let the encoder return a DiagonalGaussian"
            )
    return z
