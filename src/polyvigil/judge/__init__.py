"""The second stage of a bundle: other detectors, or a chat endpoint, decide the posts near a threshold."""
