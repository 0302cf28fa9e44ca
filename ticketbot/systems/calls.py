"""One HTTP call to a ticket system: its address, its headers, its secrets.

Secrets never leave through an error or a log: `hide` takes them out of any text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ticketbot.net import fetch
from ticketbot.settings import Endpoint
from ticketbot.systems import preset as presets
from ticketbot.systems import template

# The notes of a long ticket: the marker is looked for in them.
READ_BYTES = 4 * 2**20
MIN_SECRET_CHARS = 4

Request = Callable[..., fetch.Reply]


class System:
    """A ticket system as an endpoint names it. Raises SettingsError when the endpoint does not fit its preset."""

    def __init__(self, name: str, endpoint: Endpoint, request: Request = fetch.request) -> None:
        self.name, self.endpoint, self._request = name, endpoint, request
        self.preset = presets.of(endpoint)
        self.values = presets.values_of(name, endpoint)
        self.base = endpoint.url.rstrip("/")
        self._hidden = sorted(_spellings(endpoint.secrets.values()), key=len, reverse=True)

    def call(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, Any] | None = None,
        deadline_s: float,
        read_bytes: int = READ_BYTES,
    ) -> fetch.Reply:
        """Fill in, send, and return the answer whatever its status. Raises AddressRefused or FetchError."""
        sent = {"Accept": "application/json", **self.headers(values, headers or {})}
        data: bytes | None = None
        if form is not None:
            data = urlencode({key: _form(value) for key, value in template.fill(form, values).items()}).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif body is not None:
            data = json.dumps(template.fill(body, values), ensure_ascii=False, allow_nan=False).encode()
            sent.setdefault("Content-Type", "application/json")
        return self._request(
            method,
            self.url(path, values),
            body=data,
            headers=sent,
            deadline_s=deadline_s,
            allow=self.endpoint.allow,
            read_bytes=read_bytes,
        )

    def url(self, path: str, values: Mapping[str, Any]) -> str:
        """`path` filled in, below the endpoint's address."""
        return self.base + template.fill_path(path, values)

    def headers(self, values: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, str]:
        """The preset's headers and a step's own; one that comes out empty is left out."""
        found: dict[str, str] = {}
        if self.preset.basic:
            login = template.fill(self.preset.basic, values)
            found["Authorization"] = "Basic " + base64.b64encode(str(login).encode()).decode()
        for name, text in {**self.preset.headers, **more}.items():
            # What a later step saves (a session's token) is not there yet: then neither is the header.
            if all(not template.is_empty(values.get(one)) for one in template.names(text)):
                found[name] = str(template.fill(text, values))
        return found

    def hide(self, text: str, values: Mapping[str, Any] | None = None) -> str:
        """The text without secrets, in whatever spelling they were sent; a session's token is one too."""
        saved = [values.get(name) for name in template.names(self.preset.headers)] if values else []
        for secret in [*self._hidden, *_spellings(one for one in saved if isinstance(one, str))]:
            text = text.replace(secret, "***")
        return text


def _spellings(secrets: Any) -> set[str]:
    found: set[str] = set()
    for secret in map(str, secrets):
        if len(secret) >= MIN_SECRET_CHARS:
            found |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    return found


def _form(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
