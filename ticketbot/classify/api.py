"""What is this picture? The HTTP API.

    GET  /classify-url?url=…    POST /classify-url {"url": "…"}    POST /classify (a form's file, or the body itself)
    200  {"predictions": [[class, probability], … best first], "model": id, "category": class or null, "unsure": bool,
          "picture": sha256, "why": {"rule", "limit", "accepted", "errors", "missing"}}

Errors are problem+json with the codes of `errors.STATUS_BY_CODE`. Fetching and decoding happen before a slot is taken:
a slow server or a huge picture must not keep others from the model. Waiting too long for a slot is `busy`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from numpy.typing import NDArray

from ticketbot import logs, measures
from ticketbot.classify.answer import answer_of
from ticketbot.classify.serving import Serving
from ticketbot.classify.why import Why, why
from ticketbot.errors import AddressRefused, ImageError, Refused
from ticketbot.judge.decide import category_of
from ticketbot.judge.engine import Engine
from ticketbot.net import fetch
from ticketbot.settings import Settings
from ticketbot.web import problem
from ticketbot.web.access import needs
from ticketbot.web.context import services

log = logging.getLogger(__name__)

MB = 2**20

blueprint = Blueprint("classify", __name__)


class Busy(Refused):
    """No slot became free in time; `wait_s` becomes Retry-After."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("busy", "All places are taken; try again in a moment.")
        self.wait_s = wait_s


class Slots:
    """At most `count` at once; others wait up to `queue_s`, then Busy."""

    def __init__(self, count: int, queue_s: float) -> None:
        self.queue_s = queue_s
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self.queue_s):
            raise Busy(max(1.0, self.queue_s))
        try:
            yield
        finally:
            self._free.release()


class Answers:
    """What this blueprint finds in `services().classify`: the model, and the places in front of it."""

    def __init__(self, serving: Serving, settings: Settings) -> None:
        self.serving = serving
        self.slots = Slots(settings.classify.http_slots, settings.classify.queue_s)
        # Fetches and decodings at once: more callers than this wait here, where they cost nothing.
        self.ways_in = Slots(4 * settings.classify.http_slots, settings.classify.queue_s)


@blueprint.errorhandler(Busy)
def busy(error: Busy) -> ResponseReturnValue:
    """503 that says when to come back."""
    response = problem.answer(error.code, str(error))
    response.headers["Retry-After"] = str(math.ceil(error.wait_s))
    return response


@blueprint.get("/classify-url")
@needs("classify", api=True)
def classify_url() -> ResponseReturnValue:
    """The picture at ?url=."""
    return jsonify(_of_url(_only_one(request.args.getlist("url"))))


@blueprint.post("/classify-url")
@needs("classify", api=True)
def classify_url_json() -> ResponseReturnValue:
    """The picture at the url of a JSON body."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refused("bad_request", 'Send a JSON object: {"url": "https://…"}.')
    url = body.get("url")
    if url is not None and not isinstance(url, str):
        raise AddressRefused("url_malformed", "url must be a string.")
    return jsonify(_of_url(_only_one([url] if url else [])))


@blueprint.post("/classify")
@needs("classify", api=True)
def classify_upload() -> ResponseReturnValue:
    """The picture in the request."""
    answers: Answers = services().classify
    with answers.ways_in.take():
        return jsonify(_of_bytes(_upload()))


def of_url(url: str) -> dict[str, Any]:
    """What /classify-url answers for this address, for others who are asked (the chat). Raises Refused."""
    return _of_url(url)


def _only_one(urls: list[str]) -> str:
    if len(urls) > 1:
        raise AddressRefused("url_repeated", "Send one url.")
    if not urls or not urls[0]:
        raise AddressRefused("url_missing", "Send the address of a picture as url.")
    return urls[0]


def _of_url(url: str) -> dict[str, Any]:
    answers: Answers = services().classify
    with answers.ways_in.take():
        return _of_bytes(fetched(url))


def fetched(url: str) -> bytes:
    """What lies at this address, by the rules for /classify-url. Raises Refused."""
    rules = services().settings.classify
    return fetch.get(
        url,
        deadline_s=rules.fetch_timeout_s,
        allow=rules.url_allow,
        ports=rules.url_ports,
        max_bytes=rules.fetch_max_mb * MB,
    )


def _upload() -> bytes:
    """The bytes of the one file in a form, or of the body."""
    if request.mimetype != "multipart/form-data":
        data = request.get_data(cache=False)
    else:
        files = [file for _, file in request.files.items(multi=True)]
        if len(files) != 1:
            raise Refused("bad_request", "Send one file.")
        data = files[0].read()
    if not data:
        raise ImageError("not_an_image", "The request holds no picture.")
    return data


def _of_bytes(data: bytes) -> dict[str, Any]:
    engine, probabilities = looked_at(data)
    answer = answer_of(engine, probabilities, services().settings)
    reason = explained(engine, probabilities)
    said = {name: answer[name] for name in ("model", "category")}
    log.info("classified", extra={**said, "best": reason.best, "confidence": round(reason.confidence, 4)})
    rest = {name: value for name, value in asdict(reason).items() if name not in ("category", "best", "confidence")}
    return {**answer, "picture": logs.picture.get(), "why": rest}


def explained(engine: Engine, probabilities: NDArray[np.float64]) -> Why:
    """Why this picture would be tagged, or why a person would be asked."""
    rules, thresholds = services().settings.model, engine.manifest.thresholds
    decision = category_of(probabilities, engine.classes, thresholds, rules.unproven, rules.tag_threshold)
    return why(decision, thresholds.get(decision.best), rules.unproven, rules.tag_threshold)


def looked_at(data: bytes) -> tuple[Engine, NDArray[np.float64]]:
    """(the model that answered, its probabilities in the order of its classes) for these bytes. Raises Refused."""
    made = services()
    # From here on every line of this request's log says which picture it is about.
    logs.picture.set(hashlib.sha256(data).hexdigest())
    answers: Answers = made.classify
    engine = answers.serving.current()
    if made.decoders is None:
        raise TypeError("the app was built without decoders")
    rgb = made.decoders.decode(data, max_px=engine.manifest.canonical_px).rgb
    with answers.slots.take():
        started = time.perf_counter()
        probabilities = engine.answer([rgb])[0]
        measures.observe("ticketbot_predict_duration_seconds", time.perf_counter() - started, "http")
    return engine, probabilities
