"""Detectors: fitted, immutable, each in one file. They do not import one another."""
