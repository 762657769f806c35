# ruff: noqa: E501 - tables of texts
"""Telephone numbers in posts: what the masker finds, what the library phonenumbers finds, what each masks besides.

    python -m benchmarks.phone_numbers          (pip install phonenumberslite)

Authored texts in eight languages: 36 with one telephone number as people write it there, 36 with other numbers that posts
about medicines hold. A number counts as found where none of its digits is left; a text without one as kept where nothing
of it is masked as a telephone number (as a date or a long number it may be).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import phonenumbers  # type: ignore[import-not-found]
import regex

from polyvigil.text.mask import mask

NUMBERS = (  # region of its post, the text around, the number
    ("DE", "ruf mich an: {} danke", "0170 1234567"), ("DE", "Praxis {} täglich", "030/901820"),
    ("DE", "Tel. {}", "(089) 1234-5678"), ("DE", "Handy {} bitte", "+49 (0)151 23456789"),
    ("DE", "Nummer {} geht", "0049 30 1234567"), ("DE", "unter {} melden", "0221-4710 123"),
    ("US", "call me {} ok", "(212) 555-0123"), ("US", "my number is {}", "212.555.0123"), ("US", "text {}", "2125550123"),
    ("US", "poison control {} now", "1-800-222-1222"), ("US", "at {}", "+1 415 555 2671"),
    ("GB", "ring {} thanks", "020 7946 0018"), ("GB", "mobile {}", "07700 900123"), ("GB", "on {}", "+44 20 7946 0958"),
    ("FR", "appelle le {} stp", "06 12 34 56 78"), ("FR", "tél {}", "01.23.45.67.89"), ("FR", "au {}", "+33 6 12 34 56 78"),
    ("FR", "numéro {} merci", "0612345678"), ("FR", "le {} gratuit", "0 800 123 456"),
    ("JP", "電話は{}です", "03-1234-5678"), ("JP", "携帯{}まで", "090-1234-5678"), ("JP", "連絡先：{}", "０９０－１２３４－５６７８"),
    ("JP", "{}に電話", "0120-123-456"), ("JP", "{}へ", "+81 90 1234 5678"),
    ("RU", "звоните {} вечером", "8 (912) 345-67-89"), ("RU", "тел {}", "+7 912 345 67 89"),
    ("RU", "мой номер {}", "89123456789"), ("RU", "{} спросить Анну", "8-495-123-45-67"),
    ("IR", "شماره من {} است", "۰۹۱۲۳۴۵۶۷۸۹"), ("IR", "زنگ بزن {}", "0912 345 6789"), ("IR", "تلفن {}", "021-88776655"),
    ("IR", "با {} تماس", "+98 912 345 6789"),
    ("CN", "打电话{}给我", "13812345678"), ("CN", "手机 {} 微信同号", "138 1234 5678"), ("CN", "座机{}", "010-62345678"),
    ("CN", "联系 {}", "+86 138 1234 5678"),
)  # fmt: skip
OTHERS = (
    ("US", "took 20 30 40 mg and then 50 mg"), ("US", "bp was 120/80, then 140/90 and 135/85"), ("US", "PMID 31442000 says so"),
    ("US", "NDC 0069-4200-30 on the box"), ("US", "1,000 mg 3 times daily for 10 days"), ("US", "started 12/03/2024"),
    ("US", "lot 4471829 expired"), ("US", "cholesterol 240, 210, 190 in 2021 2022 2023"), ("US", "took 5-10-15-20 mg taper"),
    ("US", "weight 180 175 170 168 lbs"), ("US", "glucose 98 105 110 99"), ("US", "order 100045567 arrived"),
    ("DE", "erst 10-20-40 mg, dann 60 mg"), ("DE", "Blutdruck 150/95 140/90 135/85"), ("DE", "PZN 01234567 in der Apotheke"),
    ("DE", "seit 2019 2020 2021 nehme ich es"), ("DE", "1-0-1-0 seit 14 Tagen"), ("DE", "Werte: 4,5 4,8 5,1 5,3"),
    ("FR", "de 25 à 50 puis 75 puis 100 mg"), ("FR", "tension 14/9 puis 13/8 puis 12/8"), ("FR", "de 2018 à 2024"),
    ("FR", "lot 23456789"), ("FR", "10 20 30 40 gouttes"), ("GB", "25mg, 50mg, 75mg, 100mg, 150mg"),
    ("JP", "血圧は120/80、135/85でした"), ("JP", "2020年から2024年まで"), ("JP", "5mg 10mg 20mgと増えた"),
    ("JP", "体温 36.5 37.2 38.1 37.8"), ("RU", "с 2019 2020 2021 пью"), ("RU", "давление 120/80 130/85 140/90"),
    ("RU", "10 20 30 40 мг"), ("IR", "فشار ۱۲۰/۸۰ و ۱۴۰/۹۰"), ("IR", "۱۰ ۲۰ ۳۰ ۴۰ میلی گرم"), ("CN", "血压120/80 130/85 140/90"),
    ("CN", "10 20 30 40毫克"), ("CN", "批号20231105"),
)  # fmt: skip
_DIGIT = regex.compile(r"\p{Nd}")


def by_masker(text: str, region: str) -> str:  # noqa: ARG001
    """The text as text.mask masks it."""
    return mask(text)


def by_library(text: str, region: str, *, leniency: str) -> str:
    """The text without what phonenumbers finds."""
    found = phonenumbers.PhoneNumberMatcher(text, region, leniency=getattr(phonenumbers.Leniency, leniency))
    for match in reversed(list(found)):
        text = f"{text[: match.start]}[PHONE]{text[match.end :]}"
    return text


def by_countries(text: str, region: str) -> str:  # noqa: ARG001
    """The text without what phonenumbers finds as a number of any of 12 countries, those of the texts among them."""
    for country in ("DE", "US", "GB", "FR", "JP", "RU", "IR", "CN", "AT", "CH", "ES", "BR"):
        text = by_library(text, country, leniency="VALID")
    return text


def main() -> None:
    """Print the table of RESULTS.md."""
    ways: dict[str, Callable[[str, str], str]] = {"text.mask": by_masker}
    for leniency in ("POSSIBLE", "VALID"):
        name = f"phonenumbers {leniency}"
        ways[f"{name}, the country known"] = partial(by_library, leniency=leniency)
    ways["phonenumbers VALID, 12 countries tried"] = by_countries
    ways["phonenumbers VALID, all taken for US"] = lambda text, _: by_library(text, "US", leniency="VALID")
    out = sys.stdout
    out.write("| by | numbers found | other texts kept | time a text |\n|---|---|---|---|\n")
    for name, way in ways.items():
        started = time.perf_counter()
        missed = [number for region, text, number in NUMBERS if _DIGIT.search(way(text.format(number), region))]
        touched = [text for region, text in OTHERS if "[PHONE]" in way(text, region)]
        each = 1e6 * (time.perf_counter() - started) / (len(NUMBERS) + len(OTHERS))
        found, kept = len(NUMBERS) - len(missed), len(OTHERS) - len(touched)
        out.write(f"| {name} | {found} of {len(NUMBERS)} | {kept} of {len(OTHERS)} | {each:,.0f} µs |\n")


if __name__ == "__main__":
    main()
