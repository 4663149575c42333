"""``python serve_mlserver.py PORT GRPC_PORT METRICS_PORT``: MLServer with the same models, and ``forest``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
from forest import trained
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput
from mlserver_sklearn import SKLearnModel
from signatures import MODELS, REFUSING, output, refusal


class Echo(MLModel):
    """Outputs like the inputs."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return InferenceResponse(model_name=self.name, outputs=[same(tensor) for tensor in payload.inputs])


class Refusing(Echo):
    """Refuses what is below zero."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        worst = NumpyCodec.decode_input(payload.inputs[0]).min()
        if worst < 0:
            raise InferenceError(refusal(worst))
        return await super().predict(payload)


def same(tensor: RequestInput) -> ResponseOutput:
    if tensor.datatype == "BYTES":  # the codecs for text want to know an encoding, and change the shape
        return ResponseOutput(name=output(tensor.name), shape=tensor.shape, datatype="BYTES", data=tensor.data)
    return NumpyCodec.encode_output(output(tensor.name), NumpyCodec.decode_input(tensor))


def stored_forest(directory: str) -> ModelSettings:
    """The forest as a file, for MLServer's own runtime for scikit-learn."""
    file = Path(directory) / "forest.joblib"
    joblib.dump(trained(), file)
    return ModelSettings(name="forest", implementation=SKLearnModel, parameters=ModelParameters(uri=str(file)))


async def main(port: int, grpc_port: int, metrics_port: int) -> None:
    settings = Settings(
        host="127.0.0.1", http_port=port, grpc_port=grpc_port, metrics_port=metrics_port, parallel_workers=0
    )
    with TemporaryDirectory() as directory:
        models = [ModelSettings(name=name, implementation=Refusing if name == REFUSING else Echo) for name in MODELS]
        await MLServer(settings).start([*models, stored_forest(directory)])


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
