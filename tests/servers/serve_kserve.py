"""``python serve_kserve.py PORT``: KServe's Python server with the models of signatures.py, ``rows`` and ``forest``."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

import numpy as np
import uvicorn
from forest import trained
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from signatures import MODELS, REFUSING, output, refusal


class Echo(Model):
    """v2: outputs like the inputs. v1: predicts its instances."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        if isinstance(payload, dict):
            return {"predictions": payload["instances"] if "instances" in payload else payload["inputs"]}
        return self.inferred(payload)

    def inferred(self, asked: InferRequest) -> InferResponse:
        return InferResponse(
            response_id=asked.id or str(uuid4()),
            model_name=self.name,
            infer_outputs=[same(tensor) for tensor in asked.inputs],
            requested_outputs=asked.request_outputs,
            use_binary_outputs=asked.use_binary_outputs,
        )


class Refusing(Echo):
    """Refuses what is below zero."""

    def inferred(self, asked: InferRequest) -> InferResponse:
        worst = asked.inputs[0].as_numpy().min()
        if worst < 0:
            raise InvalidInput(refusal(worst))
        return super().inferred(asked)


class Forest(Echo):
    """v1: how likely each digit is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.forest = trained()

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        return {"predictions": self.forest.predict_proba(np.array(payload["instances"])).tolist()}


def same(tensor: InferInput) -> InferOutput:
    values = tensor.as_numpy()
    found = InferOutput(output(tensor.name), list(values.shape), tensor.datatype)
    found.set_data_from_numpy(values, binary_data=False)
    return found


class Loopback(uvicorn.Config):
    """KServe's server listens on all addresses, and has no setting for that."""

    def __init__(self, app: Any, **settings: Any) -> None:
        super().__init__(app, **{**settings, "host": "127.0.0.1"})


if __name__ == "__main__":
    uvicorn.Config = Loopback  # type: ignore[misc]
    models = [(Refusing if name == REFUSING else Echo)(name) for name in (*MODELS, "rows")]
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([*models, Forest("forest")])
