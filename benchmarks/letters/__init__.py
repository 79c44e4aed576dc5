"""The data set `letters`: made, not found; rendered from the fonts of this machine (docs/data.md)."""
