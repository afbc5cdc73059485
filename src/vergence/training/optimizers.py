"""Which optimiser fits which parameters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, AdamW, Muon, Optimizer

from vergence.encoders import DualEncoder
from vergence.errors import ConfigError
from vergence.training.config import TrainConfig


def make_optimizers(encoder: nn.Module, objective: nn.Module, config: TrainConfig) -> dict[str, Optimizer]:
    """Make the optimisers of a training, by name.

    Weights decay in matrices and kernels of the encoder only: not in biases, scales or what the objective learns. Muon
    orthogonalises its updates, [jordan2024], and scales them to the size of AdamW's, so that one learning rate does for
    both.

    Raises:
        ConfigError: If Muon is wanted and there is no hidden matrix.

    Example:
        >>> encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
        >>> optimizers = make_optimizers(encoder, nn.Identity(), TrainConfig(optimizer="muon"))
        >>> [weight.shape for weight in optimizers["muon"].param_groups[0]["params"]]
        [torch.Size([16, 16])]
    """
    rate, decay = config.learning_rate, config.weight_decay
    hidden = list(hidden_matrices(encoder)) if config.optimizer == "muon" else []
    if config.optimizer == "muon" and not hidden:
        raise ConfigError("optimizer 'muon' needs a matrix between hidden layers; the encoder has none. Use 'adamw'")
    taken = {id(weight) for weight in hidden}
    rest = [weight for weight in encoder.parameters() if weight.requires_grad and id(weight) not in taken]
    groups = [
        {"params": [weight for weight in rest if weight.ndim >= 2], "weight_decay": decay},
        {
            "params": [weight for weight in rest if weight.ndim < 2] + list(objective.parameters()),
            "weight_decay": 0.0,
        },
    ]
    first = SGD(groups, lr=rate, momentum=0.9) if config.optimizer == "sgd" else AdamW(groups, lr=rate)
    if not hidden:
        return {"optimizer": first}
    muon = Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return {"optimizer": first, "muon": muon}


def hidden_matrices(encoder: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the matrices of linear layers between hidden layers: neither the first nor the last of a tower.

    A tower is one modality of a `DualEncoder`, or the encoder itself. Embeddings, kernels of convolutions, biases and
    scales are no matrices in this sense.
    """
    towers: list[nn.Module] = [encoder.image, encoder.text] if isinstance(encoder, DualEncoder) else [encoder]
    seen: set[int] = set()
    for tower in towers:
        layers = [layer for layer in tower.modules() if any(p.ndim >= 2 for p in layer.parameters(recurse=False))]
        for layer in layers[1:-1]:
            if isinstance(layer, nn.Linear) and layer.weight.requires_grad and id(layer.weight) not in seen:
                seen.add(id(layer.weight))
                yield layer.weight


def set_rate(optimizers: dict[str, Optimizer], rate: float) -> None:
    """Set the learning rate of every parameter."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate


def clip(optimizers: dict[str, Optimizer], max_norm: float) -> None:
    """Scale all gradients down so that together they have at most this norm, sharded ones included."""
    every = [p for o in optimizers.values() for group in o.param_groups for p in group["params"] if p.grad is not None]
    kinds = [[p for p in every if isinstance(p.grad, DTensor) == sharded] for sharded in (False, True)]
    norms = [_whole(nn.utils.get_total_norm([p.grad for p in kind])) for kind in kinds if kind]
    if not norms:
        return
    total = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    for kind in kinds:
        if kind:
            nn.utils.clip_grads_with_norm_(kind, max_norm, total)


def _whole(norm: Tensor) -> Tensor:
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
