"""The embedded world: scenes, what is said about them, and the files of the official layouts."""
