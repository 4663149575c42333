"""``python serve_triton.py PORT GRPC_PORT METRICS_PORT``: Triton, on the CPU, with the models of signatures.py."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections.abc import Callable

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from signatures import MODELS, MOST, REFUSING, output, refusal

TYPES = {"BOOL": np.bool_, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.bytes_} | {
    f"{prefix}INT{bits}": getattr(np, f"{prefix}int{bits}".lower()) for prefix in ("", "U") for bits in (8, 16, 32, 64)
}

Arrays = dict[str, np.ndarray]


def echo(model: str) -> Callable[..., list[Arrays]]:
    """A function of its own for each model, as pytriton wants it."""

    @batch
    def infer(**inputs: np.ndarray) -> Arrays:
        if model == REFUSING and inputs["x"].min() < 0:
            raise ValueError(refusal(inputs["x"].min()))
        return {output(name): values for name, values in inputs.items()}

    return infer


def tensors(model: str, named: Callable[[str], str]) -> list[Tensor]:
    return [
        Tensor(name=named(name), dtype=TYPES[datatype], shape=(-1,) * dims)
        for name, (datatype, dims) in MODELS[model].items()
    ]


def main(port: int, grpc_port: int, metrics_port: int) -> None:
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=port,
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        metrics_address="127.0.0.1",
        metrics_port=metrics_port,
        allow_gpu_metrics=False,
    )
    with Triton(config=config) as triton:
        for model in MODELS:
            settings = ModelConfig(max_batch_size=MOST)
            triton.bind(model, echo(model), tensors(model, str), tensors(model, output), config=settings)
        triton.serve()


if __name__ == "__main__":
    # Triton runs Python in a process that looks for the library of this very interpreter.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    main(*map(int, sys.argv[1:]))
