"""From scored posts to people and back: which posts are read, by whom, and what their decisions say.

``review.store.Store`` is one open store of posts, tasks and the append-only log of decisions: what pages and commands
hold. ``review.sampling`` chooses posts from scores alone, and knows no database.
"""
