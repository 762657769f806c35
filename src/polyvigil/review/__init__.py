"""From scored posts to people and back: which posts are read, by whom, and what their decisions say."""
