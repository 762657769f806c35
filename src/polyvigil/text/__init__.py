"""What is done to the characters of a post before a model reads it."""
