"""Numbers as people read them: the words of reports, under the name that screens know."""

from ckptkit.report.human import count_text, number_text, size_text, sparkline

__all__ = ["count_text", "number_text", "size_text", "sparkline"]
