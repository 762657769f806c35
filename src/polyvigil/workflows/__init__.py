"""Recipes: from a TOML file to a bundle."""
