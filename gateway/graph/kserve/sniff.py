"""The Content-Type of a body from its first bytes, as Go's http.DetectContentType finds it.

The tables of https://mimesniff.spec.whatwg.org sections 6 and 7, in Go's selection and order; the first match wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_READ = 512  # bytes
_TEXT = b"text/plain; charset=utf-8"
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # section 3: bytes that no text has
_TAGS = rb"!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P|!--"


def content_type(body: bytes) -> bytes:
    """A media type, always: ``application/octet-stream`` when nothing else fits."""
    head = body[:_READ]
    return next(kind for matches, kind in _SIGNATURES if matches(head))


def _starts(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.DOTALL).match


def _is_mp4(head: bytes) -> bool:
    """Section 6.2.1: a whole ``ftyp`` box with a brand that starts with mp4; at 12 stands the version, no brand."""
    size = int.from_bytes(head[:4], "big")
    if len(head) < max(12, size) or size % 4 or head[4:8] != b"ftyp":
        return False
    return any(head[at : at + 3] == b"mp4" for at in range(8, size, 4) if at != 12)


def _is_text(head: bytes) -> bool:
    return not _BINARY.search(head)


_SIGNATURES: list[tuple[Callable[[bytes], object], bytes]] = [
    # Section 7.1. After white space; a tag in any case, and a byte that ends it.
    (_starts(rb"[\t\n\x0c\r ]*<(?i:" + _TAGS + rb")[ >]"), b"text/html; charset=utf-8"),
    (_starts(rb"[\t\n\x0c\r ]*<\?xml"), b"text/xml; charset=utf-8"),
    (_starts(rb"%PDF-"), b"application/pdf"),
    (_starts(rb"%!PS-Adobe-"), b"application/postscript"),
    (_starts(rb"\xfe\xff.."), b"text/plain; charset=utf-16be"),
    (_starts(rb"\xff\xfe.."), b"text/plain; charset=utf-16le"),
    (_starts(rb"\xef\xbb\xbf."), _TEXT),
    # Section 6.1: images.
    (_starts(rb"\x00\x00[\x01\x02]\x00"), b"image/x-icon"),
    (_starts(rb"BM"), b"image/bmp"),
    (_starts(rb"GIF8[79]a"), b"image/gif"),
    (_starts(rb"RIFF....WEBPVP"), b"image/webp"),
    (_starts(rb"\x89PNG\r\n\x1a\n"), b"image/png"),
    (_starts(rb"\xff\xd8\xff"), b"image/jpeg"),
    # Section 6.2: audio and video.
    (_starts(rb"FORM....AIFF"), b"audio/aiff"),
    (_starts(rb"ID3"), b"audio/mpeg"),
    (_starts(rb"OggS\x00"), b"application/ogg"),
    (_starts(rb"MThd\x00\x00\x00\x06"), b"audio/midi"),
    (_starts(rb"RIFF....AVI "), b"video/avi"),
    (_starts(rb"RIFF....WAVE"), b"audio/wave"),
    (_is_mp4, b"video/mp4"),
    (_starts(rb"\x1a\x45\xdf\xa3"), b"video/webm"),
    # Section 6.3: fonts.
    (_starts(rb".{34}LP"), b"application/vnd.ms-fontobject"),
    (_starts(rb"\x00\x01\x00\x00"), b"font/ttf"),
    (_starts(rb"OTTO"), b"font/otf"),
    (_starts(rb"ttcf"), b"font/collection"),
    (_starts(rb"wOFF"), b"font/woff"),
    (_starts(rb"wOF2"), b"font/woff2"),
    # Section 6.4: archives.
    (_starts(rb"\x1f\x8b\x08"), b"application/x-gzip"),
    (_starts(rb"PK\x03\x04"), b"application/zip"),
    (_starts(rb"Rar!\x1a\x07(?:\x00|\x01\x00)"), b"application/x-rar-compressed"),
    (_starts(rb"\x00asm"), b"application/wasm"),
    # Section 7.1, the end of it.
    (_is_text, _TEXT),
    (lambda head: True, b"application/octet-stream"),
]
