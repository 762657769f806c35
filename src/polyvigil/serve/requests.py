"""The bodies of requests: bytes -> posts, each field checked by the one table that the OpenAPI document is made from.

What is wrong with a request as a whole is a RefusalError; what is wrong with one post is an error of that post alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from polyvigil.data.languages import FileLanguages
from polyvigil.data.shown import shown_name, shown_value
from polyvigil.text.language import UNDETERMINED
from polyvigil.types import Post
from polyvigil.web.refusal import RefusalError, error_fields


class PostField(NamedTuple):
    """A field of a post in a request."""

    type: type
    required: bool
    description: str


POST_FIELDS = {
    "id": PostField(str, True, "Any text; it comes back with the result."),
    "text": PostField(str, True, "The post as it was written."),
    "language": PostField(str, False, "A code such as en, de, ja, or a name; empty or absent: it is detected."),
    "type": PostField(str, False, "The kind of post, as in files: tweet, forum post, drug_review."),
    "language_detected": PostField(
        bool, False, "The sender detected the language (und: it could not be); the flags of the result say so."
    ),
}
"""Of each post of POST /v1/score and /v1/explain."""
TYPE_NAMES = {str: "string", bool: "boolean"}
_REQUIRED = frozenset(name for name, field in POST_FIELDS.items() if field.required)


class RequestPost(NamedTuple):
    """A post as a request gives it."""

    id: str
    text: str
    language: str = ""
    type: str = ""
    language_detected: bool = False


@dataclass(frozen=True, slots=True)
class PostError:
    """Why one post of a request has no decision."""

    code: str
    message: str
    hint: str = ""
    where: str = ""

    def fields(self) -> dict[str, str]:
        return error_fields(self.code, self.message, self.hint, self.where)


Record = bytes
"""What a response holds about one post, beside its id, as a JSON object: the columns of scored files. Encoded where it
is scored, so that the event loop need not."""
Result = Record | PostError
IndexedPost = tuple[int, RequestPost]
"""A post and its index in the request, by which errors are named."""


class ReadPost(NamedTuple):
    """A post ready to be scored."""

    post: Post
    language_detected: bool


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_json(body: bytes, *, max_depth: int) -> Any:
    """The document in a body. Raises RefusalError where it is not UTF-8 or no JSON, or nested too deeply."""
    try:
        document = json.loads(body.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise RefusalError(
            "json", f"the body is not UTF-8 (byte {error.start})", hint="send JSON in UTF-8", where="body"
        ) from None
    except json.JSONDecodeError as error:
        raise RefusalError(
            "json", f"the body is no JSON: {error.msg}", hint="see /openapi.json", where=f"character {error.pos}"
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError:  # NaN, or a number of thousands of digits
        raise RefusalError("json", "the body is no JSON: a number in it is none", where="body") from None
    if _is_deeper(document, max_depth):
        raise _too_deep(max_depth)
    return document


def _too_deep(max_depth: int) -> RefusalError:
    return RefusalError(
        "json", f"the body is nested more than {max_depth} deep", hint="see /openapi.json", where="body"
    )


def _is_deeper(document: Any, depth: int) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    while level and depth:
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        depth -= 1
    return bool(level)


def read_posts(document: Any, *, most: int, options: tuple[str, ...] = ()) -> list[RequestPost]:
    """The posts of a request, up to ``most``. ``options``: what it may hold beside them. Raises RefusalError for a key
    that is missing, unknown or mistyped."""
    if not isinstance(document, dict):
        raise _usage("the body is no object", where="body")
    check_keys(document, known=("posts", *options), required=("posts",), where="")
    posts = document["posts"]
    if not isinstance(posts, list):
        raise _usage(f"{_json_name(posts)} stands where a list of posts was expected", where="posts")
    check_count(len(posts), most=most)
    return [_read_post(item, index) for index, item in enumerate(posts)]


PREVALENCE = "prevalence"
"""Of POST /v1/score, beside the posts: to which share of ADEs ``p_calibrated`` is re-based."""


def read_prevalence(document: dict[str, Any]) -> dict[str, float]:
    """The shares of a request by language, under an empty name that of all others; a number is that of all posts.

    Raises RefusalError for what is no number, or not between 0 and 1.
    """
    if PREVALENCE not in document:
        return {}
    value = document[PREVALENCE]
    shares = value if isinstance(value, dict) else {"": value}
    for language, share in shares.items():
        where = f"{PREVALENCE}[{shown_name(language)}]" if isinstance(value, dict) else PREVALENCE
        if type(share) not in (int, float):
            expected = "a number" if isinstance(value, dict) else "a number, or an object of numbers by language,"
            raise _usage(f"{_json_name(share)} stands where {expected} was expected", where=where)
        if not 0 < share < 1:
            hint = 'as 0.02, or {"fa": 0.01, "": 0.02}'
            raise RefusalError("usage", "a prevalence is between 0 and 1", hint=hint, where=where)
    return {language: float(share) for language, share in shares.items()}


def check_count(posts: int, *, most: int) -> None:
    """Raise RefusalError for a request without posts, or with too many."""
    if posts > most:
        raise RefusalError(
            "too_many", f"{posts:,} posts; a request has at most {most:,}", hint="send several requests", where="posts"
        )
    if not posts:
        raise _usage("there is no post", where="posts")


def check_keys(item: dict[str, Any], *, known: Iterable[str], required: Iterable[str], where: str) -> None:
    """Raise RefusalError for a key that is unknown or missing."""
    for name in item:
        if name not in known:
            raise _usage(f"the key {shown_name(name)} is unknown", where=where or "body", known=known)
    for name in required:
        if name not in item:
            raise _usage(f"the key {name!r} is missing", where=where or "body", known=known)


def _read_post(item: Any, index: int) -> RequestPost:
    if not isinstance(item, dict):
        raise _usage(f"{_json_name(item)} stands where a post was expected", where=f"posts[{index}]")
    for name, value in item.items():
        field = POST_FIELDS.get(name)
        if field is None or type(value) is not field.type:
            check_keys(item, known=POST_FIELDS, required=(), where=f"posts[{index}]")
            expected = TYPE_NAMES[POST_FIELDS[name].type]
            message = f"{_json_name(value)} stands where a {expected} was expected"
            raise _usage(message, where=f"posts[{index}].{name}")
    if not item.keys() >= _REQUIRED:
        check_keys(item, known=POST_FIELDS, required=sorted(_REQUIRED), where=f"posts[{index}]")
    return RequestPost(**item)


def _usage(message: str, *, where: str, known: Iterable[str] = ()) -> RefusalError:
    hint = f"the keys are {', '.join(known)}" if known else "see /openapi.json"
    return RefusalError("usage", message, hint=hint, where=where)


def _json_name(value: Any) -> str:
    """The kind of a JSON value, never the value itself: it may be a post."""
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


class PostReader:
    """Posts of requests as posts to score, by the function that reads files."""

    def __init__(self, *, max_characters: int) -> None:
        self._max_characters = max_characters
        self._languages = FileLanguages(lambda: ())
        self._languages.prior  # noqa: B018 - computed here, so that threads only read it

    def errors(self, posts: Sequence[RequestPost]) -> dict[int, PostError]:
        """What is wrong with single posts of a request by itself, by their index."""
        errors: dict[int, PostError] = {}
        seen: set[str] = set()
        for index, post in enumerate(posts):
            if len(post.text) > self._max_characters:
                message = f"{len(post.text):,} characters; a post has at most {self._max_characters:,}"
                errors[index] = PostError("too_long", message, "send it in parts", f"posts[{index}].text")
            elif post.id in seen:
                message = f"the id {shown_value(post.id)} stands twice in this request"
                errors[index] = PostError("duplicate_id", message, "give each post its own id", f"posts[{index}].id")
            seen.add(post.id)
        return errors

    def read(self, post: RequestPost, index: int) -> ReadPost | PostError:
        """The post with its language, detected where none is given, by this post alone."""
        if post.language_detected and post.language.strip() == UNDETERMINED:
            return ReadPost(Post(post.id, post.text, UNDETERMINED, post.type), True)
        try:
            language = self._languages.group(post.language.strip(), post.text, type=post.type, id=post.id)
        except ValueError:
            return PostError(
                "language",
                f"{shown_value(post.language)} is no language",
                "use codes such as en, de, ja; leave it empty to have it detected",
                f"posts[{index}].language",
            )
        detected = language.detected or post.language_detected
        return ReadPost(Post(post.id, post.text, language.group, post.type), detected)
