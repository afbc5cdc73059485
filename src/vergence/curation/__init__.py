"""Captions changed on purpose: what to say, leave out or redraw, exactly where it is said, and back again."""

from vergence.curation.files import Columns
from vergence.curation.job import Curation, Order, Planned, curate, make_plan, undo
from vergence.curation.keyed import estimate_by_key
from vergence.curation.policy import CurationPolicy, plan_curation
from vergence.curation.rewrite import Edited, Rewriter
from vergence.curation.target import Target, read_target, target_of

__all__ = [
    "Columns",
    "Curation",
    "CurationPolicy",
    "Edited",
    "Order",
    "Planned",
    "Rewriter",
    "Target",
    "curate",
    "estimate_by_key",
    "make_plan",
    "plan_curation",
    "read_target",
    "target_of",
    "undo",
]
