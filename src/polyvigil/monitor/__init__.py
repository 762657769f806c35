"""Drift over time: weekly counts of scored posts, kept without texts, and alarms when a stream changes."""
