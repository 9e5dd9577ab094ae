"""Mask passwords and tokens in everything that is printed, logged or tagged."""

import os
import re

MASK = "***"
# Variables that hold a secret; the password in MLFLOW_TRACKING_URI is masked too.
VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "RAY_AUTH_TOKEN",
)
SHORTEST = 4  # characters; anything shorter may be part of a word, and is masked in addresses only
# Everything up to the last @: a password may contain a slash. A path (sqlite:////a@b) has no user.
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?!/)\S*@", re.IGNORECASE)
_QUERY = re.compile(
    r"([?&][^=\s&]*(?:token|password|secret|key|signature)[^=\s&]*=)[^&\s]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """Mask users, passwords and tokens in addresses, and secrets from environment variables.

    >>> masked("http://me:a/b@host:5000/?token=c is away")
    'http://***@host:5000/?token=*** is away'
    """
    text = _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _known() -> set[str]:
    """Return the secrets in environment variables, and the parts a library may split them into."""
    found = {os.environ.get(name, "") for name in VARIABLES}
    address = os.environ.get("MLFLOW_TRACKING_URI", "").partition("://")[2]
    password = address.rpartition("@")[0].partition(":")[2]
    found |= {password, *re.split(r"[/?#@]", password)}
    return {secret for secret in found if len(secret) >= SHORTEST}
