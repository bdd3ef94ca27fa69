"""Names of orchestrators: which text is a name, and documents with names by address."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError
from orchboard.stats import is_address

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

_ADDRESS_CHARACTERS = 42  # checked first: `is_address` remembers what it is asked
_CONTAINS_ADDRESS = re.compile("0x[0-9a-f]{40}", re.IGNORECASE | re.ASCII)

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Letters, marks and a symbol without an appearance: they would make two names look alike, or a name empty.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

# They join emoji, and letters of Persian and Indian scripts.
_JOINERS = frozenset("\u200c\u200d")

# Flags such as that of Wales are a black flag with invisible tags.
_BLACK_FLAG = "\U0001f3f4"
_FIRST_TAG, _LAST_TAG = "\U000e0020", "\U000e007f"

# Characters of a newer Unicode than Python's are allowed where it adds emoji and ideographs.
_GROWING_BLOCKS = (("\U0001f000", "\U0001fbff"), ("\U00020000", "\U0003fffd"))

_SURROGATES = ("\ud800", "\udfff")

# Longer text is not composed: that takes time in the square of the combining marks in a row.
_MAX_DECOMPOSED = 4

# Vietnamese, Hebrew and Thai need up to three; more cover the lines above and below.
_MAX_MARKS = 4


class NamesDocument(Struct, frozen=True):
    """The names in a document.

    names -- by address in lower case
    problems -- one sentence for each entry that is not in `names`, with its line or its address
    """

    names: Mapping[str, str]
    problems: tuple[str, ...]


def parse_address(text: str) -> str:
    """An orchestrator's address in lower case. Raises BadInputError."""
    address = text.strip()
    if len(address) != _ADDRESS_CHARACTERS or not is_address(address):
        raise BadInputError(f"an address must be 0x and 40 hex digits, not {address[:64]!r}")
    return address.lower()


def parse_name(text: str) -> str:
    """A name as it is stored: composed (NFC), without white space around it.

    Letters of any script, digits, punctuation, symbols, emoji and single spaces are allowed. Raises BadInputError that
    names the problem.
    """
    text, longest = text.strip(), limits.MAX_ORCHESTRATOR_NAME_CHARACTERS
    name = unicodedata.normalize("NFC", text) if len(text) <= _MAX_DECOMPOSED * longest else text
    if not name:
        raise BadInputError("a name must not be empty")
    if len(name) > longest:
        raise BadInputError(f"a name must have at most {longest} characters, not {len(name)}")
    marks = 0
    for position, character in enumerate(name):
        if problem := _problem(name, position):
            raise BadInputError(f"a name must not contain {problem}")
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks > _MAX_MARKS:
            raise BadInputError(f"a name must not contain more than {_MAX_MARKS} combining marks in a row")
    if all(unicodedata.category(character)[0] in "MZ" for character in name):
        raise BadInputError("a name must contain a character that is visible")
    if _CONTAINS_ADDRESS.search(name):
        raise BadInputError("a name must not contain an address")
    return name


def read_names(document: bytes) -> NamesDocument:
    """The names in a CSV document (see `read_csv_names`) or a JSON object of names by address.

    Raises BadInputError if it is neither, has more than MAX_NAMES_IN_DOCUMENT entries, or has entries of which none is
    valid.
    """
    text = document.removeprefix(_UTF8_MARK).lstrip()
    found = _collect(_json_entries(text)) if text.startswith(b"{") else read_csv_names(document)
    if found.problems and not found.names:
        raise BadInputError(f"no entry is valid; {found.problems[0]}")
    return found


def read_csv_names(document: bytes) -> NamesDocument:
    """The names in a CSV document in UTF-8 with the columns `address` and `name`, named in its first line.

    Other columns are ignored. An address with two different names is a problem. Raises BadInputError for another
    encoding or header, and for more than MAX_NAMES_IN_DOCUMENT entries.
    """
    if document.startswith(_UTF16_MARKS) or b"\0" in document[:64]:
        raise BadInputError("it is UTF-16, or not text: save it as UTF-8")
    # Invalid bytes become surrogates, which `parse_name` refuses with the line's number.
    text = document.removeprefix(_UTF8_MARK).decode("utf-8", "surrogateescape")
    return _collect(_csv_entries(text))


class _Entry(Struct, frozen=True):
    """One entry of a document; `problem` is empty unless it can't be read."""

    where: str
    address: str = ""
    name: str = ""
    problem: str = ""


def _collect(entries: Iterator[_Entry]) -> NamesDocument:
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for number, entry in enumerate(entries, start=1):
        if number > limits.MAX_NAMES_IN_DOCUMENT:
            raise BadInputError(f"it has more than {limits.MAX_NAMES_IN_DOCUMENT:,} names")
        try:
            if entry.problem:
                raise BadInputError(entry.problem)
            address, name = parse_address(entry.address), parse_name(entry.name)
            if names.setdefault(address, name) != name:
                raise BadInputError(f"{address} has another name in {places[address]}")
            places.setdefault(address, entry.where)
        except BadInputError as error:
            problems.append(f"{entry.where}: {error}")
    return NamesDocument(names, tuple(problems))


def _csv_entries(text: str) -> Iterator[_Entry]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        where = f"line {rows.line_num + 1}"
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield _Entry(where, problem=f"not valid CSV: {error}")
            break
        if not row:
            continue
        if not header:
            header = [cell.strip().lower() for cell in row]
            if not {"address", "name"} <= set(header):
                raise BadInputError("its first line must be `address,name`, separated by a comma")
            address_at, name_at = header.index("address"), header.index("name")
        elif len(row) != len(header):
            yield _Entry(
                where, problem=f"{len(row)} values, not {len(header)}: quote a name that contains a comma"
            )
        else:
            yield _Entry(where, row[address_at], row[name_at])
    if not header:
        raise BadInputError("it is empty: its first line must be `address,name`")


def _json_entries(text: bytes) -> Iterator[_Entry]:
    try:
        members = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"not a JSON object: {error}") from None
    for number, (address, name) in enumerate(members.items(), start=1):
        where = f"member {number}"
        if isinstance(name, str):
            yield _Entry(where, address, name)
        else:
            yield _Entry(where, problem="a name must be a string")


def _problem(name: str, position: int) -> str:
    """What is wrong with a character of a name; empty if nothing is."""
    character = name[position]
    if character == " ":
        return "two spaces in a row" if name[position - 1] == " " else ""
    if _SURROGATES[0] <= character <= _SURROGATES[1]:
        return "bytes that are not UTF-8"
    named = f"U+{ord(character):04X}"
    if known := unicodedata.name(character, ""):
        named += f" ({known})"
    if character in _BIDI_CONTROLS:
        return f"{named}, which changes the direction of text"
    if character in _JOINERS:
        return "" if _joins(name, position) else f"{named} except between two characters"
    if _FIRST_TAG <= character <= _LAST_TAG:
        before = name[position - 1] if position else ""
        is_flag = before == _BLACK_FLAG or _FIRST_TAG <= before < _LAST_TAG
        return "" if is_flag else f"{named} except in a flag"
    if character in _BLANKS:
        return f"{named}, which is invisible"
    if character.isprintable():
        return ""
    return _unprintable(character, named)


def _unprintable(character: str, named: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return f"the control character {named}"
    if category[0] == "Z":
        return f"{named}: use a simple space"
    if category == "Cf":
        return f"{named}, which is invisible"
    if category == "Cn" and any(first <= character <= last for first, last in _GROWING_BLOCKS):
        return ""
    return f"{named}, which is no character of Unicode {unicodedata.unidata_version}"


def _joins(name: str, position: int) -> bool:
    sides = (name[position - 1 : position], name[position + 1 : position + 2])
    return all(side and side != " " and side not in _JOINERS for side in sides)
