"""The process that scores, ``python -m polyvigil.serve.scoring_child FOLDER BUNDLE_ID``: see scoring_process."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import IO

from polyvigil.config.serve import ServeSpec
from polyvigil.errors import PolyvigilError
from polyvigil.scoring.pool import load_as
from polyvigil.serve import collector
from polyvigil.serve.loaded import SMOKE_POSTS, LoadedBundle
from polyvigil.serve.requests import IndexedPost, PostError, RequestPost, Result
from polyvigil.serve.scoring_process import read_frame, write_frame

_NICE = 5
"""Where cores are few, who waits for one to read or refuse a request goes first."""


def main(folder: str, bundle_id: str) -> None:
    """Load the bundle, score a post, then answer frames until stdin closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # are for the service, which then closes stdin
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    try:
        loaded = LoadedBundle(load_as(folder, bundle_id, device="cpu"), ServeSpec())
        loaded.score_without_endpoint([(0, SMOKE_POSTS[0])])
        collector.set_aside()
        write_frame(output, b"")
        # It scores with numpy until the compiled kernel is there, which takes as long as all the rest, or once longer.
        threading.Thread(target=loaded.smoke_score, daemon=True).start()
        answer_frames(loaded, sys.stdin.buffer, output)
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        reason = error.message if isinstance(error, PolyvigilError) else type(error).__name__
        write_frame(output, json.dumps(reason).encode())
    os._exit(0)  # at once: what a usual end tidies up takes a second


def answer_frames(loaded: LoadedBundle, frames: IO[bytes], output: IO[bytes]) -> None:
    """Score what comes. Raises EOFError when no more does, BrokenPipeError when nobody reads the results."""
    methods = {method.__name__: method for method in (loaded.score, loaded.score_without_endpoint, loaded.explain)}
    while True:
        name, items = json.loads(read_frame(frames))
        posts: list[IndexedPost] = [(index, RequestPost(*fields)) for index, fields in items]
        try:
            results = b"\n".join(map(_document, methods[name](posts)))
        except Exception as error:
            results = json.dumps(type(error).__name__).encode()  # without its message, which may hold a post
        write_frame(output, results)


def _document(result: Result) -> bytes:
    if isinstance(result, PostError):
        return json.dumps({"error": result.fields()}, separators=(",", ":")).encode()
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
