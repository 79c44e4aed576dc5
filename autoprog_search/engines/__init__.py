"""Where a study's trials run."""
