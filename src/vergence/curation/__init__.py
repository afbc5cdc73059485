"""Captions changed on purpose: what to say, leave out or redraw, exactly where it is said, and back again."""

from vergence.curation.rewrite import Edited, Rewriter

__all__ = ["Edited", "Rewriter"]
