"""Figures and tables: numbers first, then drawings; one HTML page."""
