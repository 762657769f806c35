"""A store of posts to read on the pages: several scripts, hidden characters, blind and assisted, an audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from tests.review.small import BUNDLE

from polyvigil.review import event_log
from polyvigil.review.event_log import keyed_hash
from polyvigil.review.schema import batch, post, scoring, task, utc_text
from polyvigil.review.store import Store

TEXTS = (
    ("en", "Started sertraline last week. Since then I cannot sleep and my hands shake all day.", (30, 83)),
    ("de", "Nach der zweiten Tablette Ibuprofen bekam ich einen Hautausschlag am ganzen Körper.", (0, 83)),
    ("ja", "ロキソニンを飲んでから胃が痛くてたまらない。病院に行くべき？", (0, 22)),
    ("fa", "بعد از خوردن متفورمین حالت تهوع شدید می\u200cگیرم و سرگیجه دارم.", (0, 30)),
    ("en", "safe\u202eeruces\u202c text \u200b\u200bwith \u0000 hidden\u00ad signs \U000e0041", (0, 12)),
    ("ru", "После прививки поднялась температура и болела рука два дня.", None),
    ("en", 'My mum took <b>ramipril</b> & coughed for weeks; "never again" she said.\nThen it stopped.', (0, 43)),
    ("zh", "吃了阿莫西林之后全身起疹子，痒得睡不着。", (0, 14)),
)


def fill_posts(
    store: Store,
    texts: Sequence[tuple[str, str, tuple[int, int] | None]] = TEXTS,
    *,
    n: int = 0,
    blind: Sequence[int] = (),
    double: Sequence[int] = (),
    audit: Sequence[int] = (),
    ids: str = "r{}",
    type: str = "forum post",
    copies: int = 0,
) -> None:
    """Put posts and their tasks, from 1 on, into a store: the texts in turn, ``n`` in all.

    ``blind``, ``double`` (read by two), ``audit``: numbers of tasks. ``copies``: so many repeats of the first text.
    """
    n = n or len(texts)
    posts, scores, tasks = [], [], []
    for number in range(1, n + 1 + copies):
        is_copy = number > n
        language, text, evidence = texts[(number - 1) % len(texts)] if not is_copy else texts[0]
        shown = text if is_copy or n <= len(texts) else f"{text} ({number})"
        posts.append(
            {"id": number, "batch": 1, "source_id": ids.format(number), "language": language, "type": type}
            | {"text": shown.replace("\0", "\ufffd"), "raw_text": None, "copy_of": 1 if is_copy else None}
            | {"text_mac": keyed_hash(store.mac_key, f"{shown} {number}")}
        )
        p = 0.97 - 0.4 * number / (n + 1) if number not in audit else 0.02
        scores.append(
            {"post": number, "bundle": BUNDLE, "p": p, "p_calibrated": p, "threshold": 0.5, "threshold_source": "own"}
            | {"decision": int(p >= 0.5), "spread": 0.0, "flags": ""}
            | {"evidence_start": evidence[0] if evidence else None, "evidence_end": evidence[1] if evidence else None}
        )
        if not is_copy:
            is_blind = number in {*blind, *double, *audit}
            tasks.append(
                {"id": number, "post": number, "bundle": BUNDLE, "purpose": "audit" if number in audit else "queue"}
                | {"inclusion_p": 0.1 if number in audit else 1.0, "stratum": "", "language": language}
                | {"mode": "blind" if is_blind else "assisted", "rank": float(number)}
                | {"reviews": 2 if number in double else 1, "state": "open"}
            )

    def run(connection: sa.Connection) -> None:
        now = store.clock()
        values: dict[str, Any] = {"id": 1, "file_name": "posts.csv", "file_sha256": "0" * 64, "bundle": BUNDLE}
        values |= {"n_posts": len(posts), "n_rows": len(posts), "state": "ready", "added_at": utc_text(now)}
        connection.execute(sa.insert(batch).values(values))
        for table, rows in ((post, posts), (scoring, scores), (task, tasks)):
            connection.execute(sa.insert(table), rows)
        event_log.append(connection, now=now, reviewer=0, kind="add", body={"tasks": len(tasks), "closed": 0})

    store.write(run)
