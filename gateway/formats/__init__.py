"""How inference bodies merge and split: the batcher's only knowledge of protocols."""
