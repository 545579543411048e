"""Shapes in signatures are checked, on one thread."""

from shape_checks import one_thread

__all__ = ["one_thread"]
