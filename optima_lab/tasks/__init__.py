"""The four tasks: heads, losses, metrics, teachers and baselines."""
