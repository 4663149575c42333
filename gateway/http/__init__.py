"""Bytes to messages and back: HTTP/1.1 for clients and for backends. Nothing in here knows about graphs."""
