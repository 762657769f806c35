"""Score posts with a bundle."""
