"""Reports: results into sentences, and sentences, tables and figures into one page."""

from vergence.reports.render import Report, build_report
from vergence.reports.summarize import Summary, Verdict, scores, size_scores, summarize
from vergence.reports.table import table

__all__ = ["Report", "Summary", "Verdict", "build_report", "scores", "size_scores", "summarize", "table"]
