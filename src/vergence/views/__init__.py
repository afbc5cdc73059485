"""What the two modalities show of one item: images, captions, and the readers that pair them."""

from vergence.views.images import random_shift
from vergence.views.pairs import LazyViews, ViewPair, Views
from vergence.views.record import latent_labels, latent_record, text_record
from vergence.views.templates import CaptionStyle, render_captions

__all__ = [
    "CaptionStyle",
    "LazyViews",
    "ViewPair",
    "Views",
    "latent_labels",
    "latent_record",
    "random_shift",
    "render_captions",
    "text_record",
]
