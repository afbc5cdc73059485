"""Fitting a dual encoder to paired views: settings, loop, checkpoints, runs with everything in one folder."""

from vergence.training.captioner import Captioner, CaptionerEpoch, CaptionerResult, train_captioner
from vergence.training.captioner_files import load_captioner, save_captioner
from vergence.training.captioner_spec import CaptionerConfig, CaptionObjective, QueryConfig
from vergence.training.checkpoint import Checkpoints
from vergence.training.config import EarlyStop, TrainConfig
from vergence.training.export import load_encoder
from vergence.training.loop import EpochEnd, TrainResult, train
from vergence.training.models import ImageTextModel, load_model
from vergence.training.processes import join_processes
from vergence.training.run import run_training
from vergence.training.spec import LOSSES, RunConfig

__all__ = [
    "LOSSES",
    "CaptionObjective",
    "Captioner",
    "CaptionerConfig",
    "CaptionerEpoch",
    "CaptionerResult",
    "Checkpoints",
    "EarlyStop",
    "EpochEnd",
    "ImageTextModel",
    "QueryConfig",
    "RunConfig",
    "TrainConfig",
    "TrainResult",
    "join_processes",
    "load_captioner",
    "load_encoder",
    "load_model",
    "run_training",
    "save_captioner",
    "train",
    "train_captioner",
]
