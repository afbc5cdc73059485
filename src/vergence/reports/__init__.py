"""Reports: results into sentences, and sentences, tables and figures into one page."""
