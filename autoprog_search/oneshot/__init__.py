"""What one-shot search is: candidates, estimates, score."""
