"""`mlflow deployments ... -t lamplighter`: a deployment of MLflow is a rollout to the fleet.

Loaded by MLflow through its entry point. A deployment bears the model's name in the fleet, and is
that model's newest rollout. What devices run is signed by offline keys, so a model version stands
for the release that was published from it: its tag, or that of its run, says which.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from mlflow import MlflowClient
from mlflow.deployments import BaseDeploymentClient
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as reasons

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.cli.api import DEFAULT_SERVER, Api, read_stored_token
from lamplighter_server.rollouts.states import OPEN

RELEASE_TAG: Final = "lamplighter.release"
_ROLLOUTS: Final = "/api/v1/rollouts"
_MODEL_URI: Final = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[\w-]+))")
_RUN_URI: Final = re.compile(r"runs:/(?P<run>[^/]+)(?:/.*)?")
_RELEASE: Final = re.compile(r"(?P<model>[^@]+)@(?P<release>\d+)")
_REASONS: Final = {
    "NOT_FOUND": reasons.RESOURCE_DOES_NOT_EXIST,
    "NOT_AUTHORISED": reasons.PERMISSION_DENIED,
    "SERVER_UNREACHABLE": reasons.TEMPORARILY_UNAVAILABLE,
}
_HELP: Final = """\
A deployment is a rollout of a signed release to the fleet.

Target: lamplighter, or lamplighter:http://HOST:PORT. Without an address LAMPLIGHTER_SERVER names
it; LAMPLIGHTER_TOKEN says who you are.
Name: the model's name in the fleet.
Model URI: models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN with the tag lamplighter.release,
such as digits@2.
Config: start=true starts it at once; waves=1,25%,100%; where=site=harbour,ring=canary;
deadline_s=600; max_failed_devices=1; mode=shadow.

Example: mlflow deployments create -t lamplighter --name digits -m models:/digits@champion
"""


class FleetDeployments(BaseDeploymentClient):
    """The newest rollout of each model. Every method raises MlflowException."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)  # type: ignore[no-untyped-call]
        server = target_uri.partition(":")[2] or os.environ.get("LAMPLIGHTER_SERVER")
        token = os.environ.get("LAMPLIGHTER_TOKEN") or read_stored_token()
        self._where = (server or DEFAULT_SERVER, token)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Plan a rollout, and start it if the config says so."""
        with self._connected() as api:
            found = _find(api, name)
        if found is not None and found["status"] in OPEN:
            raise MlflowException(
                f"{found['id']} is {found['status']}; update or delete it.",
                reasons.RESOURCE_ALREADY_EXISTS,
            )
        return self._roll_out(name, model_uri, config, flavor, endpoint)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Roll out another release; a rollout that is open must end first."""
        if model_uri is None:
            _refuse("Say which release with a model URI; a rollout is not changed under way.")
        return self._roll_out(name, model_uri, config, flavor, endpoint)

    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Abort the open rollout, if there is one: devices get their previous release back."""
        with self._connected() as api:
            found = _find(api, name)
            if found is not None and found["status"] in OPEN:
                api.post(f"{_ROLLOUTS}/{found['id']}/abort", {"reason": "deleted in MLflow"})

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """The newest rollout of each model."""
        newest: dict[str, dict[str, Any]] = {}
        with self._connected() as api:
            for rollout in api.get(_ROLLOUTS):
                newest.setdefault(rollout["model"], _told(rollout))
        return list(newest.values())

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """The newest rollout of a model, with the state of each device."""
        with self._connected() as api:
            found = _find(api, name)
            if found is None:
                raise LamplighterError("NOT_FOUND", f"No rollout of {name} was ever made.")
            return _told(api.get(f"{_ROLLOUTS}/{found['id']}"))

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,  # noqa: ANN401 - MLflow's signature
        endpoint: str | None = None,
    ) -> NoReturn:
        """Refused: devices answer, not the server."""
        raise MlflowException(
            "Devices answer, over the Open Inference Protocol: POST /v2/models/NAME/infer there.",
            reasons.NOT_IMPLEMENTED,
        )

    @contextmanager
    def _connected(self) -> Iterator[Api]:
        """The server, for one call; what it refuses is raised as MLflow's own exception."""
        try:
            with Api(*self._where) as api:
                yield api
        except LamplighterError as error:
            reason = _REASONS.get(error.code, reasons.INVALID_PARAMETER_VALUE)
            raise MlflowException(str(error), reason) from error

    def _roll_out(
        self,
        name: str,
        model_uri: str,
        config: Mapping[str, Any] | None,
        flavor: str | None,
        endpoint: str | None,
    ) -> dict[str, Any]:
        if flavor or endpoint:
            _refuse("There are neither flavors nor endpoints here: a release has its variants.")
        model, release = find_release(MlflowClient(), model_uri)
        if model != name:
            _refuse(f"{model_uri} is {model}@{release}; name the deployment {model!r}.")
        policy, start = read_config(config or {})
        with self._connected() as api:
            made = api.post(_ROLLOUTS, {"model": model, "release": release, "policy": policy})
            if start:
                made = api.post(f"{_ROLLOUTS}/{made['id']}/start", {})
        return _told(made)


def find_release(client: MlflowClient, model_uri: str) -> tuple[str, int]:
    """The release that a model version or a run of MLflow stands for, by its tag.

    Raises:
        MlflowException: If there is no such version or run, or it has no tag of that form.
    """
    if match := _MODEL_URI.fullmatch(model_uri):
        name, version, alias = match["name"], match["version"], match["alias"]
        found = (
            client.get_model_version(name, version)
            if version
            else client.get_model_version_by_alias(name, alias)
        )
        tags = found.tags
        if RELEASE_TAG not in tags and found.run_id:
            tags = client.get_run(found.run_id).data.tags
    elif match := _RUN_URI.fullmatch(model_uri):
        tags = client.get_run(match["run"]).data.tags
    else:
        _refuse(f"{model_uri} is neither models:/NAME/VERSION, models:/NAME@ALIAS nor runs:/RUN.")
    release = _RELEASE.fullmatch(tags.get(RELEASE_TAG, ""))
    if release is None:
        _refuse(f"{model_uri} has no tag {RELEASE_TAG}, such as digits@2: publish it first.")
    return release["model"], int(release["release"])


def read_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A rollout's policy, and whether to start it, from the texts of `-C KEY=VALUE`.

    Raises:
        MlflowException: For an unknown key or an unreadable value.
    """
    policy: dict[str, Any] = {}
    start = False
    for key, value in config.items():
        text = str(value)
        try:
            if key == "start":
                start = {"true": True, "false": False}[text.lower()]
            elif key == "waves":
                policy[key] = [wave.strip() for wave in text.split(",")]
            elif key == "where":
                policy[key] = dict(label.split("=", 1) for label in text.split(","))
            elif key in {"deadline_s", "max_failed_devices", "max_failed_share"}:
                policy[key] = int(text)
            elif key == "mode":
                policy[key] = text
            else:
                _refuse(f"Unknown config {key!r}; see 'mlflow deployments help -t lamplighter'.")
        except (KeyError, ValueError) as error:
            raise MlflowException(
                f"Config {key}={text!r} cannot be read.", reasons.INVALID_PARAMETER_VALUE
            ) from error
    return policy, start


def _find(api: Api, model: str) -> dict[str, Any] | None:
    return next((item for item in api.get(_ROLLOUTS) if item["model"] == model), None)


def _told(rollout: Mapping[str, Any]) -> dict[str, Any]:
    return {**rollout, "name": rollout["model"], "flavor": None}


def _refuse(sentence: str) -> NoReturn:
    raise MlflowException(sentence, reasons.INVALID_PARAMETER_VALUE)


def target_help() -> str:
    """What `mlflow deployments help -t lamplighter` prints."""
    return _HELP


def run_local(
    target: str,
    name: str,
    model_uri: str,
    flavor: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Refused: what runs must be signed first."""
    _refuse("Try a release on this machine with 'lamplighter demo'.")
