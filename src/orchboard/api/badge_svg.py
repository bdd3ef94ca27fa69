"""A badge as an SVG image."""

from collections.abc import Mapping

from orchboard.api.svg import FONT, text_width, xml_text
from orchboard.reports.badge import Badge, BadgeColor

_SIZE, _MARGIN = 11, 6

# White text on each has a contrast of at least 4.5.
_FILLS: Mapping[BadgeColor, str] = {
    "brightgreen": "#2b7a0b",
    "orange": "#a35200",
    "red": "#b3261e",
    "lightgrey": "#6a6a6a",
}


def badge_svg(badge: Badge) -> str:
    """The image: label and message beside each other, 20 pixels high."""
    label, message = (round(text_width(text, _SIZE), 1) for text in (badge.label, badge.message))
    left, right = label + 2 * _MARGIN, message + 2 * _MARGIN
    width = f"{left + right:g}"
    whole = xml_text(f"{badge.label}: {badge.message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{whole}">'
        f'<title>{whole}</title><clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left:g}" height="20" fill="#444"/>'
        f'<rect x="{left:g}" width="{right:g}" height="20" fill="{_FILLS[badge.color]}"/></g>'
        f'<g fill="#fff" font-family="{FONT}" font-size="{_SIZE}">'
        f'<text x="{_MARGIN}" y="14" textLength="{label:g}">{xml_text(badge.label)}</text>'
        f'<text x="{left + _MARGIN:g}" y="14" textLength="{message:g}">{xml_text(badge.message)}</text></g></svg>\n'
    )
