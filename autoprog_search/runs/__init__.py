"""One training run, alone or as a trial of a study."""
