"""What users configure: the recipe, the growth settings, the data."""
