"""Parts of SVG images: text that is safe in XML, its width, and the headers of an answer."""

import re
import unicodedata
from html import escape

from orchboard.answers.answer import Headers
from orchboard.api.responses import with_media_type

# An image that is opened as a page loads nothing and runs nothing.
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'"

SVG_HEADERS: Headers = (*with_media_type("image/svg+xml"), (b"content-security-policy", _POLICY))
"""The headers of a 200 that is an image."""

FONT = "Verdana,Geneva,'DejaVu Sans',sans-serif"

# XML 1.0 has no way to write these. Directional controls would turn around the text behind them.
_UNWRITABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)

_SPACES = str.maketrans("\t\n\r", "   ")

# Advance widths in thousandths of the font size: Verdana's, which its substitutes come near to.
_WIDTHS = {
    character: width
    for width, characters in {
        274: "il", 269: "'", 344: "j", 352: " f", 364: ",.", 394: "!t", 421: "I", 427: "r", 455: "()-/:;J[\\]|",
        459: '"', 521: "cs", 525: "z", 545: "?", 557: "L", 575: "F", 592: "kvxy", 596: "e", 601: "a", 603: "P", 607: "o",
        615: "Y", 616: "T", 623: "bdgpq", 633: "hnu", 635: "{}", 636: "$*0123456789_`", 632: "E", 684: "AVS", 685: "XZ",
        686: "B", 693: "K", 695: "R", 698: "C", 727: "&", 732: "U", 748: "N", 751: "H", 771: "D", 775: "G", 787: "OQ",
        818: "#+<=>^w~…", 843: "M", 973: "m", 989: "W", 1000: "@", 1076: "%",
    }.items()
    for character in characters
}  # fmt: skip
_OTHER, _WIDE = 700, 1000


def writable(text: str) -> str:
    """A text without what XML can't write, and without directional controls: U+FFFD in their place."""
    return _UNWRITABLE.sub("\ufffd", text)


def xml_text(text: str) -> str:
    """A text as content or attribute of an XML element, whatever it contains."""
    return escape(writable(text).translate(_SPACES))


def text_width(text: str, size: float) -> float:
    """The width of a text in pixels. size -- of the font"""
    return sum(map(_width, text)) * size / 1000


def _width(character: str) -> int:
    if (known := _WIDTHS.get(character)) is not None:
        return known
    if unicodedata.combining(character):
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER
