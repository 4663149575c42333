"""Payload events: taken on a request's way, written to a spool, sent to sinks by a process of their own."""
