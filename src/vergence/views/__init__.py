"""What the two modalities show of one item: images, captions, and the readers that pair them."""

from vergence.views.images import random_shift
from vergence.views.pairs import LazyViews, ViewPair, Views
from vergence.views.record import latent_labels, latent_record, text_record
from vergence.views.scene_captions import PALETTE_OF_HUE, SceneCaptions, factor_codes, write_scene_captions
from vergence.views.templates import CaptionStyle, render_captions

__all__ = [
    "PALETTE_OF_HUE",
    "CaptionStyle",
    "LazyViews",
    "SceneCaptions",
    "ViewPair",
    "Views",
    "factor_codes",
    "latent_labels",
    "latent_record",
    "random_shift",
    "render_captions",
    "text_record",
    "write_scene_captions",
]
