"""What the two modalities show of one item: images, captions, and the readers that pair them."""

from vergence.views.images import random_shift
from vergence.views.pairs import LazyViews, ViewPair, Views
from vergence.views.templates import CaptionStyle, render_captions, text_record

__all__ = ["CaptionStyle", "LazyViews", "ViewPair", "Views", "random_shift", "render_captions", "text_record"]
