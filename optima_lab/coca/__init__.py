"""CoCa from open_clip: the only room that knows how it is made."""
