"""What every section of a recipe is made of."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

_SECRETS = ("token", "key", "secret", "password")

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A section of the recipe: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def without_credentials(address: str, instead: str) -> str:
    """An address, which goes into manifests and cards; ValueError, which says what to do `instead` and
    repeats nothing of it, where it holds a user, a password, a query or a fragment. A path, or the id
    of a dataset, is none."""
    # fsspec chains them: `zip://rows.jsonl::https://host/rows.zip`.
    for each in address.split("::"):
        if "://" not in each:
            continue
        try:
            parts = urlsplit(each)
            _ = parts.port  # a password with a slash in it reads as one
        except ValueError:
            raise ValueError("is no address that can be read") from None
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address must hold no user, password, query or fragment, which would end up in "
                f"manifests and cards; {instead}"
            )
    return address


def without_secrets(args: dict[str, Any]) -> dict[str, Any]:
    """Free-form arguments, which go into manifests and cards; ValueError where a secret is there."""
    for name, setting in args.items():
        if isinstance(setting, str) and str(name).lower().endswith(_SECRETS):
            raise ValueError(
                f"{name} would end up in manifests and cards; give secrets in the environment "
                "(HF_TOKEN for the hub)"
            )
        if isinstance(setting, dict):
            without_secrets(setting)
    return args
