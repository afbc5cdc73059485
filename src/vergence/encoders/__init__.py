"""Image, text and numerical encoders, the pair of them that contrastive training fits, and weights from local files."""

from vergence.encoders.captions import BEGIN, END, CaptionVocabulary
from vergence.encoders.conse import (
    CONSE_CLASSES,
    CONSE_CLASSIFIER,
    CONSE_CONFIG,
    CONSE_TEXT,
    ConSE,
    ConSEPair,
    conse_settings,
)
from vergence.encoders.conv import ConvEncoder, GridConvEncoder
from vergence.encoders.dual import DualEncoder
from vergence.encoders.efficientnet import EfficientNetLite0, folded
from vergence.encoders.framing import Framing
from vergence.encoders.frozen import FrozenFeatures
from vergence.encoders.generation import beam, greedy, nucleus
from vergence.encoders.mlp import MLP, PixelMLP, PixelResidualMLP, ResidualMLP
from vergence.encoders.preprocessing import Preprocessing
from vergence.encoders.pretrained import (
    TRANSFORMERS_DESCRIPTIONS,
    TransformersImageEncoder,
    load_preprocessing,
    load_weights,
    save_weights,
)
from vergence.encoders.pretrained_pairs import OPEN_CLIP_CONFIG, OpenClipPair, PretrainedPair, TransformersPair
from vergence.encoders.qformer import QFormer
from vergence.encoders.resnet import ResNet, resnet18, resnet34, resnet_cifar
from vergence.encoders.text import UNKNOWN, BagOfWordsEncoder, SentenceCNN, TextCNN, TextTransformer, Vocabulary
from vergence.encoders.vit import ClassTokenTransformer, ViT

__all__ = [
    "BEGIN",
    "CONSE_CLASSES",
    "CONSE_CLASSIFIER",
    "CONSE_CONFIG",
    "CONSE_TEXT",
    "END",
    "MLP",
    "OPEN_CLIP_CONFIG",
    "TRANSFORMERS_DESCRIPTIONS",
    "UNKNOWN",
    "BagOfWordsEncoder",
    "CaptionVocabulary",
    "ClassTokenTransformer",
    "ConSE",
    "ConSEPair",
    "ConvEncoder",
    "DualEncoder",
    "EfficientNetLite0",
    "Framing",
    "FrozenFeatures",
    "GridConvEncoder",
    "OpenClipPair",
    "PixelMLP",
    "PixelResidualMLP",
    "Preprocessing",
    "PretrainedPair",
    "QFormer",
    "ResNet",
    "ResidualMLP",
    "SentenceCNN",
    "TextCNN",
    "TextTransformer",
    "TransformersImageEncoder",
    "TransformersPair",
    "ViT",
    "Vocabulary",
    "beam",
    "conse_settings",
    "folded",
    "greedy",
    "load_preprocessing",
    "load_weights",
    "nucleus",
    "resnet18",
    "resnet34",
    "resnet_cifar",
    "save_weights",
]
