"""The figures: frames in, matplotlib figures out."""
