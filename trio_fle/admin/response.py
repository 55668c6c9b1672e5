"""An answer, before it becomes HTTP."""

from typing import Final

import attrs

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


@attrs.frozen
class Response:
    """Status code, body, and headers beside those that every answer has."""

    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
