"""Documentation, and the command that redraws its figures and tables."""
