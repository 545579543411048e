"""Notebooks, figures, tables, claims and the gallery: what is made of records."""
