"""The scoring service: a bundle behind HTTP, with the decisions of the command line.

A request passes ``gate`` (hosts, tokens, counts, errors), waits for admission, is read by ``requests``, scored by the
one thread of ``batching`` and written as JSON. ``service`` holds the bundle that serves and replaces it; ``app`` puts
all of it together as an ASGI application, ``server`` runs that until it is told to stop, ``client`` speaks with it.
"""
