"""The review store: scored posts before people, and every decision of theirs in an append-only log (docs/reviewing.md).

``review.store.Store`` is what the pages and the commands hold; the other modules are what it is made of.
"""
