from tests.server.data.conftest import add, patients, places

__all__ = ["add", "patients", "places"]
