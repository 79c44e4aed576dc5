"""What finished studies say: numbers, no ink."""
