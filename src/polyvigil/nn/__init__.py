"""Encoders: the only floor that knows torch modules, and in it one file that knows Hugging Face."""
