"""What every message between supervisor and worker is made of: the base class, and fields of any bytes."""

from base64 import b64decode, b64encode
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, SecretBytes, SecretStr


def _passphrase(value: object) -> SecretBytes:
    return value if isinstance(value, SecretBytes) else SecretBytes(b64decode(str(value), validate=True))


Bytes = Annotated[
    bytes,
    PlainValidator(lambda value: value if isinstance(value, bytes) else b64decode(value)),
    PlainSerializer(lambda value: b64encode(value).decode(), when_used="json"),
]
Passphrase = Annotated[
    SecretBytes,
    PlainValidator(_passphrase),
    PlainSerializer(lambda value: b64encode(value.get_secret_value()).decode(), when_used="json"),
]
"""Any bytes; base64 in JSON, never shown."""
Secret = Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value(), when_used="json")]
"""Text; itself in JSON, never shown."""


class Message(BaseModel):
    """Base: unknown fields are refused, values do not change.

    What checks a message is built when it is first needed: a command needs a few of them all.  Two threads
    may need it at once; pydantic minds that from 2.14 on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
