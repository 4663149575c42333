"""The inference gateway: YAML graphs of Sequence, Switch, Ensemble and Splitter nodes in front of model servers."""

__version__ = "0.1.0"
