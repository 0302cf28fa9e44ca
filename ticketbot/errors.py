"""What can go wrong, and does trying again help?

    TicketbotError                  every error this project raises on purpose
    ├── SettingsError               a setting is unknown or has a bad value           (exit 2)
    ├── UsageError                  a command was called wrongly                      (exit 2)
    ├── NotReady                    something must be done first (no model, no source)
    ├── StorageError                data_dir cannot be written: full, read-only, over quota
    ├── Refused                     hostile or broken input; has a `code`, never retried
    │   ├── AddressRefused          an address we may not call: url_*, scheme_*, address_*…
    │   ├── FetchError              a server that answered badly, or too late (may be retried)
    │   ├── ImageError              bytes that are not a picture we take
    │   └── SignatureRefused        a webhook signature that does not verify
    ├── BundleRefused               a model bundle that must not be served
    ├── TrainingFailed              the trainer child died, timed out or said no
    └── Conflict                    somebody changed it meanwhile (HTTP 409)

`code` is the word callers see (reliability.md's list); `status` its HTTP status; `retryable` whether the same call may
succeed later. Messages say what to do; they never hold a resolved address, a secret or an upstream body.
"""

from __future__ import annotations

# code -> HTTP status. The one list: fetch, decode, upload and the API all take their codes from here.
STATUS_BY_CODE: dict[str, int] = {
    **dict.fromkeys(
        [
            "url_missing",
            "url_repeated",
            "url_too_long",
            "url_malformed",
            "scheme_refused",
            "userinfo_refused",
            "port_refused",
            "address_refused",
            "redirect_downgrade",
        ],
        400,
    ),
    "bad_request": 400,
    "csrf": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "payload_too_large": 413,
    **dict.fromkeys(
        [
            "body_too_large",
            "not_an_image",
            "bad_image",
            "image_truncated",
            "image_dimensions",
            "image_too_large",
            "too_many_scans",
            "decode_timeout",
        ],
        422,
    ),
    "rate_limited": 429,
    "internal": 500,
    **dict.fromkeys(
        [
            "upstream_status",
            "too_many_redirects",
            "fetch_failed",
            "bad_content_length",
            "encoding_refused",
            "tls_failed",
        ],
        502,
    ),
    "busy": 503,
    "no_model": 503,
    "fetch_timeout": 504,
}

RETRYABLE_CODES = frozenset({"upstream_status", "fetch_failed", "tls_failed", "fetch_timeout", "busy", "rate_limited"})


class TicketbotError(Exception):
    """Root of the tree. `str(error)` is one sentence for a person."""

    code = "internal"

    @property
    def status(self) -> int:
        return STATUS_BY_CODE.get(self.code, 500)

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE_CODES


class SettingsError(TicketbotError):
    """A setting is unknown or has a bad value; the text names the key, the value and what is allowed."""


class UsageError(TicketbotError):
    """A command was called with arguments that make no sense together."""


class NotReady(TicketbotError):
    """Something must be done first; the text says what."""

    code = "no_model"
    wait_s = 60.0  # a person or a training does it, not the next second


class StorageError(TicketbotError):
    """The data folder cannot be written. Nothing is lost: the same work is done when there is room again."""

    code = "busy"


class Conflict(TicketbotError):
    """Somebody changed it meanwhile."""

    code = "conflict"


class BundleRefused(TicketbotError):
    """A model bundle that must not be served: wrong hash, unknown class, unsigned, unreadable."""


class TrainingFailed(TicketbotError):
    """The trainer child died, timed out or refused its input."""


class Refused(TicketbotError):
    """Hostile or broken input. Raise with one of the codes in STATUS_BY_CODE."""

    def __init__(self, code: str, detail: str = "") -> None:
        if code not in STATUS_BY_CODE:
            raise KeyError(f"{code!r} is not in STATUS_BY_CODE")
        super().__init__(detail or code.replace("_", " "))
        self.code = code


class AddressRefused(Refused):
    """An address we may not call, or that is not an address at all."""


class FetchError(Refused):
    """A server answered badly, too much, or too late."""


class ImageError(Refused):
    """Bytes that are not a picture we take."""


class SignatureRefused(Refused):
    """A webhook signature that does not verify."""

    def __init__(self, detail: str) -> None:
        super().__init__("unauthorized", detail)
