"""Widgets that replay recorded runs and play with bandits."""
