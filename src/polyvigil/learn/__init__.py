"""From labelled posts to fitted detectors."""
