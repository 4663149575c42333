"""Layers: one file each. A layer that is not configured is not in the stack."""
