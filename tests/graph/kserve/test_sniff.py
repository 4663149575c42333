from __future__ import annotations

import pytest

from gateway.graph.kserve.sniff import content_type

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"hello", TEXT),
        (b"\xff\xfe", TEXT),  # a byte order mark, and nothing after it
        (b"\xef\xbb\xbfhello", TEXT),
        (b"\xfe\xffab", "text/plain; charset=utf-16be"),
        (b"\xff\xfeab", "text/plain; charset=utf-16le"),
        (b"x" * 512 + b"\x00", TEXT),
        (b"x" * 511 + b"\x00", "application/octet-stream"),
        (b"\x01\x02\x03", "application/octet-stream"),
        (b"<!doctype html>", HTML),
        (b" \n\t<HtMl >", HTML),
        (b"<!-- x", HTML),
        (b"<p>", HTML),
        (b"<pre>", TEXT),
        (b"<html", TEXT),
        (b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        (b"<?XML", TEXT),
        (b"%PDF-1.7", "application/pdf"),
        (b"%!PS-Adobe-3", "application/postscript"),
        (b"\x00\x00\x01\x00", "image/x-icon"),
        (b"\x00\x00\x02\x00", "image/x-icon"),
        (b"BM\x00", "image/bmp"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\n\x00\x00\x00WEBPVP8", "image/webp"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"FORM\x00\x00\x00\x00AIFF", "audio/aiff"),
        (b"ID3\x04", "audio/mpeg"),
        (b"OggS\x00", "application/ogg"),
        (b"MThd\x00\x00\x00\x06", "audio/midi"),
        (b"RIFF\x00\x00\x00\x00AVI ", "video/avi"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt", "audio/wave"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp41", "video/mp4"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp41", "video/mp4"),
        (b"\x00\x00\x00\x10ftypisommp42", "application/octet-stream"),
        (b"\x00\x00\x00\x20ftypmp42\x00\x00\x00\x00", "application/octet-stream"),
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"\x07" * 34 + b"LP", "application/vnd.ms-fontobject"),
        (b"\x00\x01\x00\x00", "font/ttf"),
        (b"OTTO", "font/otf"),
        (b"ttcf", "font/collection"),
        (b"wOFF", "font/woff"),
        (b"wOF2", "font/woff2"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
        (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
        (b"\x00asm", "application/wasm"),
    ],
)
def test_the_first_bytes_tell(body: bytes, kind: str) -> None:
    assert content_type(body) == kind.encode()
