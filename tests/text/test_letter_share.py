"""How much of a text a vocabulary knows, by the pieces it cuts it into."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from polyvigil.data.sample import sample_corpus
from polyvigil.text.script import alphabet as alphabet_of
from polyvigil.text.script import letter_share


def _letters(text: str) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in range(len(text))]


@pytest.mark.parametrize(
    ("text", "pieces", "share"),
    [
        ("pills", [(0, 5)], 1.0),
        ("pills", [(0, 2), (2, 3), (3, 5)], 0.8),
        ("боль", _letters("боль"), 0.0),  # spelled letter by letter
        ("薬疹", _letters("薬疹"), 1.0),  # a Han letter is a word
        ("薬疹", [(0, 1), (0, 1), (0, 1), (1, 2)], 0.5),  # the first one in bytes
        ("薬が", [(0, 1), (1, 2)], 0.5),  # a kana letter is none
        ("薬疹", [], 0.0),  # unknown tokens alone
        ("20 :(", [(0, 2), (3, 5)], 1.0),  # no letters
        ("", [], 1.0),
        (" a", [(0, 2)], 0.0),  # a piece with its space holds one letter
    ],
)
def test_letter_share(text: str, pieces: list[tuple[int, int]], share: float) -> None:
    assert letter_share(text, pieces) == pytest.approx(share)


@pytest.mark.parametrize("kind", ["bytes", "letters"])
def test_a_vocabulary_of_english_posts_knows_related_alphabets_alone(kind: str) -> None:
    """Medians over the synthetic posts, by tokenizers trained here: in bytes (GPT-2's way), and in pieces of words with
    the letters of another alphabet in the vocabulary (BERT's way)."""
    tokenizers = pytest.importorskip("tokenizers")
    texts: dict[str, list[str]] = defaultdict(list)
    for item in sample_corpus():
        texts[item.post.language].append(item.post.text)
    if kind == "bytes":
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts["en"], trainer)
    else:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=2000, special_tokens=["[UNK]"], show_progress=False)
        tokenizer.train_from_iterator([*texts["en"], " ".join(alphabet_of("Cyrillic"))], trainer)

    def median(language: str) -> float:
        shares = []
        for text in texts[language][:60]:
            pieces = tokenizer.encode(text)
            unknown = tokenizer.token_to_id("[UNK]")
            known = [span for token, span in zip(pieces.ids, pieces.offsets, strict=True) if token != unknown]
            shares.append(letter_share(text, known))
        return float(np.median(shares))

    medians = {language: median(language) for language in ("en", "de", "fr", "ru", "ja", "zh", "fa")}
    assert medians["en"] > 0.95
    assert min(medians["de"], medians["fr"]) > 0.5
    assert max(medians[language] for language in ("ru", "ja", "zh", "fa")) < 0.1
