"""What users configure: the recipe, the growth settings, the data."""

from autoprog_search.settings.data import DataConfig
from autoprog_search.settings.growth import GrowthSettings
from autoprog_search.settings.recipe import Recipe, load_recipe

__all__ = ["DataConfig", "GrowthSettings", "Recipe", "load_recipe"]
