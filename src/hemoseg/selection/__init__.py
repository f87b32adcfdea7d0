"""Which of the trained networks make the result."""

from hemoseg.selection.choose import choose

__all__ = ["choose"]
