"""MLflow's model registry: the best network of each data set, by alias."""

from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion

from pipeline.core.errors import UserError, first_line
from pipeline.tracking.store import REQUEST_ERRORS, find_or_none, open_store, store_errors


class Registry:
    """Registered models of one data set; the best has the alias champion, the other challenger."""

    def __init__(self, source: str, digest: str) -> None:
        self.name = f"{source}-{digest[:8]}"
        self._client = open_store()

    def find(self, alias: str) -> ModelVersion | None:
        """Return the version with an alias, or None.

        Raises:
            UserError: the store does not answer.
        """
        with store_errors():
            return find_or_none(lambda: self._client.get_model_version_by_alias(self.name, alias))

    def get(self, alias: str) -> ModelVersion:
        """Return the version with an alias.

        Raises:
            UserError: nothing has this alias.
        """
        version = self.find(alias)
        if version is None:
            raise UserError(
                f"{alias}: no training of this folder is called that, and MLflow's registry has no "
                f"such version of {self.name}, the prepared data. `dvc repro` makes champion and "
                "challenger; if the store was deleted, `python -m pipeline doctor`"
            )
        return version

    def register(
        self, model_uri: str, alias: str, tags: dict[str, str], description: str = ""
    ) -> str:
        """Register a logged model under an alias and return its version.

        Args:
            description: what the version is, in Markdown.

        Raises:
            UserError: the store does not have the model.
        """
        try:
            version = mlflow.register_model(model_uri, self.name, tags=tags).version
        except REQUEST_ERRORS as error:
            raise UserError(
                f"{model_uri} cannot be registered ({first_line(error)}); "
                "`python -m pipeline doctor` makes a new run where the store was deleted"
            ) from None
        self._client.update_model_version(self.name, str(version), description)
        self._client.set_registered_model_alias(self.name, alias, str(version))
        return str(version)

    def describe(self, description: str) -> None:
        """Say what the registered model is, in Markdown."""
        self._client.update_registered_model(self.name, description)


def load_model(uri: str) -> Any:
    """Load a Keras model that was logged, in Keras' safe mode."""
    return mlflow.keras.load_model(uri, load_model_kwargs={"safe_mode": True})
