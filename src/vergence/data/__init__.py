"""The default image-text set that comes with the package, ways to caption it, and readers of pairs."""

from vergence.data.emoji import EncodedImages, load_emoji, load_emoji_tags
from vergence.data.labelling import label_source
from vergence.data.layouts import LAYOUTS
from vergence.data.pixels import PIXEL_FACTORS, pixel_labels
from vergence.data.policies import POLICIES, STYLE, Policy, write_captions
from vergence.data.rows import Columns
from vergence.data.scene_files import OFFICIAL, load_scenes, read_scenes
from vergence.data.source import Source, read_source
from vergence.data.sweeping import Read
from vergence.splits import split_by_concept

__all__ = [
    "LAYOUTS",
    "OFFICIAL",
    "PIXEL_FACTORS",
    "POLICIES",
    "STYLE",
    "Columns",
    "EncodedImages",
    "Policy",
    "Read",
    "Source",
    "label_source",
    "load_emoji",
    "load_emoji_tags",
    "load_scenes",
    "pixel_labels",
    "read_scenes",
    "read_source",
    "split_by_concept",
    "write_captions",
]
