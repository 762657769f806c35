"""Audits: each looks for one kind of fault in data or bundles, and its gates say yes or no."""
