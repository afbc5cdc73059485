"""Reports: results into sentences, and sentences, tables and figures into one page."""

from vergence.reports.render import Report, build_report
from vergence.reports.summarize import Summary, Verdict, summarize
from vergence.reports.tables import scores, size_scores
from vergence.reports.terminal import table

__all__ = ["Report", "Summary", "Verdict", "build_report", "scores", "size_scores", "summarize", "table"]
