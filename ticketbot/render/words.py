"""Which words stand on the pictures? Six languages, and the numbers, dates and sums that go with them."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from importlib import resources

# Language code -> heading ("menu", "oops", "goods"...) -> entries separated by a bar.
LANGUAGES: dict[str, dict[str, str]] = tomllib.loads(
    resources.files("ticketbot.render").joinpath("words.toml").read_text("utf-8")
)

_PEOPLE = "Anna|Jürgen|María|Luis|Chloé|Marco|João|Sofia|Peter|Inês|Karl|Elena|Noah|Zoë|Ahmed|Mei|Olga|Tomás"
_FAMILIES = "Smith|Müller|García|Rossi|Dubois|Silva|Novák|Weber|López|Khan|Jensen|Costa|Brown|Schäfer|Moreau"
_FIRMS = "Contoso|Fabrikam|Nordwind|Acme|Globex|Initech|Umbra|Alpina|Veloz|Sonata|Cronus|Litware"
_CODE = "Sales|Order|Customer|Invoice|Stock|Session|Repository|Service|Controller|Manager|Factory|Handler|Query|Context"
_METHODS = "Load|Save|Execute|Read|Open|Bind|Render|Invoke|Update|Commit|Parse|Dispatch|Connect|Resolve"
_FAULTS = "NullReferenceException|SqlException|TimeoutException|ArgumentException|IOException|KeyError|ValueError"
_FAULTS += "|TypeError|IllegalStateException|OutOfMemoryError|AccessViolation|HttpException|InvalidOperationException"


def _one(rng: random.Random, entries: str) -> str:
    return rng.choice(entries.split("|"))


@dataclass(frozen=True)
class Words:
    """One language, and the dice to pick from it. `decimal` is its decimal sign, `currency` what follows a sum."""

    table: dict[str, str]
    rng: random.Random
    decimal: str
    currency: str
    trace_style: int  # 0..3: how this picture's program writes a stack trace

    def pick(self, key: str) -> str:
        return _one(self.rng, self.table[key])

    def some(self, key: str, count: int) -> list[str]:
        """`count` entries, all different as long as the language has that many."""
        entries = self.table[key].split("|")
        self.rng.shuffle(entries)
        return [entries[i % len(entries)] for i in range(count)]

    def sentence(self, count: int) -> str:
        text = " ".join(self.rng.choices(self.table["filler"].split(), k=count))
        return text[0].upper() + text[1:]

    def person(self) -> str:
        return f"{_one(self.rng, _PEOPLE)} {_one(self.rng, _FAMILIES)}"

    def firm(self) -> str:
        return _one(self.rng, _FIRMS)

    def number(self, top: int = 10_000) -> str:
        return str(self.rng.randint(1, top))

    def money(self, top: float = 900.0, *, sign: bool = False) -> str:
        text = f"{self.rng.uniform(0.5, top):.2f}".replace(".", self.decimal)
        return f"{text} {self.currency}" if sign else text

    def date(self) -> str:
        day, month, year = self.rng.randint(1, 28), self.rng.randint(1, 12), self.rng.randint(2004, 2026)
        return self.rng.choice([f"{day:02}.{month:02}.{year}", f"{month}/{day}/{year}", f"{year}-{month:02}-{day:02}"])

    def code_name(self) -> str:
        return _one(self.rng, _CODE)

    def fault(self) -> str:
        return _one(self.rng, _FAULTS)

    def trace_line(self) -> str:
        """One frame of a stack trace, as .NET, Java or Python write it."""
        owner, method = self.code_name() + self.code_name(), _one(self.rng, _METHODS)
        line = self.rng.randint(3, 900)
        return [
            f"   at {self.firm()}.{owner}.{method}(String name, Int32 id) in C:\\src\\{owner}.cs:line {line}",
            f"    at com.{self.firm().lower()}.{owner}.{method.lower()}({owner}.java:{line})",
            f'  File "/srv/app/{owner.lower()}.py", line {line}, in {method.lower()}',
            f"   System.Web.UI.{owner}.{method}(EventArgs e) +{line}",
        ][self.trace_style]


def pick_words(rng: random.Random) -> Words:
    """A language, English and German and Spanish more often than the others."""
    code = rng.choices(list(LANGUAGES), weights=[5, 3, 3, 1, 1, 1])[0]
    currency = rng.choice(["$", "£", "EUR", "USD"]) if code == "en" else rng.choice(["€", "EUR", "€"])
    return Words(LANGUAGES[code], rng, "." if code == "en" else ",", currency, rng.randrange(4))
