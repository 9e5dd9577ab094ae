"""MLflow's model registry: the best networks for each data set, by alias."""

from typing import Any

import mlflow
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from pipeline.core.errors import UserError, first_line
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import open_store, store_errors


class Registry:
    """The registered model of one data set; its best version is champion, the next challenger."""

    def __init__(self, source: str, digest: str) -> None:
        self.name = f"{source}-{digest[:8]}"
        self._client = open_store()

    def find(self, alias: str) -> ModelVersion | None:
        """Return the version with an alias, or None.

        Also None for one registered by hand, and for one whose model was deleted.

        Raises:
            UserError: the store does not answer.
        """
        with store_errors():
            model = self._find_model()
            number = model.aliases.get(alias) if model else None
            version = self._client.get_model_version(self.name, number) if number else None
            ours = version and TRAINING in version.tags and self._has_model(version)
            return version if ours else None

    def _has_model(self, version: ModelVersion) -> bool:
        try:
            return bool(self._client.get_logged_model(version.source.removeprefix("models:/")))
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return False
            raise

    def get(self, alias: str) -> ModelVersion:
        """Return the version with an alias.

        Raises:
            UserError: no version has this alias.
        """
        version = self.find(alias)
        if version is None:
            raise UserError(
                f"{alias} is neither a training in this folder, like resnet-dropblock-0, nor "
                f"registered in MLflow for the prepared data ({self.name}). Champion and "
                "challenger are registered by `dvc repro` if there are validation images and test "
                "scores; if the store was deleted, by `python -m pipeline publish`"
            )
        return version

    def register(
        self, model: LoggedModel, alias: str, tags: dict[str, str], description: str
    ) -> None:
        """Give a logged model's version an alias; register the version first if necessary.

        Args:
            tags: the version's tags, including the training's identity.
            description: of the version, in plain text.
        """
        uri = f"models:/{model.model_id}"
        found = self._client.search_model_versions(f"name = '{self.name}'")
        known = [v for v in found if v.tags.get(TRAINING) == tags[TRAINING] and v.source == uri]
        if known:
            number = known[0].version
        else:
            if self._find_model() is None:
                self._client.create_registered_model(self.name)
            number = self._client.create_model_version(
                self.name, uri, model.source_run_id, tags, model_id=model.model_id
            ).version
        version = self._client.get_model_version(self.name, number)
        if version.description != description:
            self._client.update_model_version(self.name, number, description)
        self.set_alias(version, alias)

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Give a registered version an alias unless it has it."""
        if alias not in version.aliases:
            self._client.set_registered_model_alias(self.name, alias, version.version)

    def _find_model(self) -> RegisteredModel | None:
        found = self._client.search_registered_models(f"name = '{self.name}'")
        return found[0] if found else None

    def describe(self, description: str) -> None:
        """Set the registered model's description, in Markdown."""
        if self._client.get_registered_model(self.name).description != description:
            self._client.update_registered_model(self.name, description)


def load_model(uri: str) -> Any:
    """Load a logged Keras model, in Keras' safe mode.

    Raises:
        UserError: its files are gone or damaged.
    """
    try:
        return mlflow.keras.load_model(uri, load_model_kwargs={"safe_mode": True})
    except MemoryError:
        raise
    except Exception as error:  # MLflow, zipfile, zlib, HDF5 and Keras each have their own
        raise UserError(
            f"{uri} cannot be loaded ({first_line(error)}); `python -m pipeline doctor` says what "
            "MLflow's store lacks"
        ) from None
