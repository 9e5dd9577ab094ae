"""Passwords and tokens in what is printed, logged or tagged: masked here, and nowhere else."""

import os
import re

MASK = "***"
# Variables that hold a secret; the password of MLFLOW_TRACKING_URI is looked for too.
VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "RAY_AUTH_TOKEN",
)
SHORTEST = 4  # characters; anything shorter also stands in words, and is masked in addresses only
# Everything up to the last @, as a password may hold a slash. A path (sqlite:////a@b) has no user.
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?!/)\S*@", re.IGNORECASE)
_QUERY = re.compile(
    r"([?&][^=\s&]*(?:token|password|secret|key|signature)[^=\s&]*=)[^&\s]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """Mask users, passwords and tokens in addresses, and the secrets of the environment.

    >>> masked("http://me:a/b@host:5000/?token=c is away")
    'http://***@host:5000/?token=*** is away'
    """
    text = _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _known() -> set[str]:
    """Return the secrets of the environment, and the parts that a library may cut them into."""
    found = {os.environ.get(name, "") for name in VARIABLES}
    address = os.environ.get("MLFLOW_TRACKING_URI", "").partition("://")[2]
    password = address.rpartition("@")[0].partition(":")[2]
    found |= {password, *re.split(r"[/?#@]", password)}
    return {secret for secret in found if len(secret) >= SHORTEST}
