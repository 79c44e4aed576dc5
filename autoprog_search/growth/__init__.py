"""The elastic model and the growth operators."""
