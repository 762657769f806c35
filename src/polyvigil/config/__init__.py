"""Recipes and every setting of the program: defaults, ranges, meaning."""
