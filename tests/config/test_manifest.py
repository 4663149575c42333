from gateway.config.manifest import InferenceStep, RouterTimeouts
from gateway.config.shape import shape


def test_keys_are_kserves() -> None:
    assert set(shape(InferenceStep).by_name) == {
        "name",
        "nodeName",
        "serviceName",
        "serviceUrl",
        "data",
        "dependency",
        "condition",
        "mapPredictionsToInstances",
        "weight",
    }


def test_defaults_are_kserves() -> None:
    timeouts = RouterTimeouts()
    assert (timeouts.server_read, timeouts.server_write, timeouts.server_idle) == (60, 60, 180)
    assert timeouts.service_client is None
