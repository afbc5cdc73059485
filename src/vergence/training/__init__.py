"""Fitting a dual encoder to paired views: settings, loop, checkpoints."""

from vergence.training.checkpoint import Checkpoints
from vergence.training.config import EarlyStop, TrainConfig
from vergence.training.loop import EpochEnd, TrainResult, train

__all__ = ["Checkpoints", "EarlyStop", "EpochEnd", "TrainConfig", "TrainResult", "train"]
