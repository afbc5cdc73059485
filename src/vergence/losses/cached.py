"""Large batches through encoders in little memory: gradients by way of cached representations."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from vergence.checks import at_least
from vergence.errors import ConfigError, ShapeError
from vergence.losses.objective import LossParts
from vergence.losses.standardize import Standardize

Encoder = Callable[[Tensor], Tensor]
_OF_THE_BATCH = (nn.modules.batchnorm._BatchNorm, Standardize)


def cached_backward(
    encoders: Sequence[Encoder],
    inputs: Sequence[Tensor],
    objective: Callable[..., LossParts | Tensor],
    *,
    chunk_size: int,
    backward: Callable[[Tensor], object] = torch.autograd.backward,
    no_sync: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> LossParts | Tensor:
    """Add to every parameter the gradient of an objective on the whole batch, holding one chunk's activations at once.

    All chunks are encoded without a graph; the objective gives the gradient of each representation; each chunk is
    encoded once more, with a graph, to carry it on to the parameters. It costs one more forward pass. [gao2021];
    differs: nothing. Each chunk's random state is restored for its second pass, so dropout drops the same units twice,
    and afterwards the generator stands where one pass would have left it.

    Args:
        encoders: One per modality; each item's output must depend on that item alone.
        inputs: One batch per encoder, of the same length.
        objective: From one representation per encoder to a loss; its own parameters get their gradients too.
        chunk_size: Items that are encoded at once.
        backward: How to differentiate the loss, such as `accelerator.backward`, which scales it for mixed precision.
        no_sync: Context that keeps processes from exchanging gradients; entered for every chunk but the last.

    Returns:
        What the objective returned.

    Raises:
        ConfigError: If the chunk size is below 1, or an encoder in training normalises over the batch: its statistics
            would be those of a chunk. Standardise inside the objective instead.
        ShapeError: If there is not one batch per encoder, or batches differ in length.

    Example:
        >>> from vergence.losses import info_nce
        >>> encoders, inputs = [nn.Linear(8, 4), nn.Linear(6, 4)], [torch.randn(32, 8), torch.randn(32, 6)]
        >>> loss = cached_backward(encoders, inputs, info_nce, chunk_size=8)
        >>> loss.shape, encoders[0].weight.grad.shape
        (torch.Size([]), torch.Size([4, 8]))
    """
    at_least("chunk_size", chunk_size, 1)
    _check(encoders, inputs)
    chunks = [(k, part) for k, batch in enumerate(inputs) for part in torch.split(batch, chunk_size)]
    states, outputs = [], []
    with torch.no_grad():
        for k, part in chunks:
            states.append(_random_state(part.device))
            outputs.append(encoders[k](part))
    torch.clear_autocast_cache()  # weights that were cast without a graph would pass no gradient on
    leaves = [
        torch.cat([output for (owner, _), output in zip(chunks, outputs, strict=True) if owner == k]).requires_grad_()
        for k in range(len(encoders))
    ]
    del outputs
    parts = objective(*leaves)
    backward(parts.total if isinstance(parts, LossParts) else parts)
    gradients = [piece for leaf in leaves for piece in torch.split(_gradient(leaf), chunk_size)]
    last = len(chunks) - 1
    for index, ((k, part), state, gradient) in enumerate(zip(chunks, states, gradients, strict=True)):
        with nullcontext() if index == last else no_sync(), _restored(state, part.device):
            torch.autograd.backward(encoders[k](part), gradient)
    return parts


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _check(encoders: Sequence[Encoder], inputs: Sequence[Tensor]) -> None:
    if len(encoders) != len(inputs) or len({len(batch) for batch in inputs}) != 1:
        raise ShapeError(
            f"each of {len(encoders)} encoders needs a batch of the same length; "
            f"got batches of {', '.join(str(len(batch)) for batch in inputs) or 'none'}"
        )
    for encoder in encoders:
        for name, module in encoder.named_modules() if isinstance(encoder, nn.Module) else ():
            if isinstance(module, _OF_THE_BATCH) and module.training:
                raise ConfigError(
                    f"{type(module).__name__} ({name or 'the encoder'}) takes its statistics from the chunk, not from "
                    "the batch; use a normalisation per item, or standardise inside the objective"
                )


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextmanager
def _restored(state: tuple[Tensor, Tensor | None], device: torch.device) -> Iterator[None]:
    cpu, cuda = state
    with torch.random.fork_rng([] if cuda is None else [device]):
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        yield
