"""Exercises of the lesson notebooks, and their judge."""
