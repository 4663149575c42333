"""Batching: concurrent requests to a backend made into one call, and its answer taken apart again."""
