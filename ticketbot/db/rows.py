"""How many rows did that change? A conditional UPDATE that changed none means a colleague was quicker."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Result


def rows(result: Result[Any]) -> int:
    """The row count of an INSERT, UPDATE or DELETE."""
    return cast("CursorResult[Any]", result).rowcount
