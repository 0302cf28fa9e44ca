"""What people write first: fastai's predict behind Flask. `python -m bench.flask_fastai EXPORT.PKL PORT`.

A lock around predict, because a Learner is not made for several threads.
"""

import logging
import sys
import threading

from flask import Flask, jsonify, request

from bench import peers


def create(pickle):
    predict = peers.fastai_predict(pickle)
    app, one_at_a_time = Flask(__name__), threading.Lock()

    @app.post("/classify")
    def classify():
        with one_at_a_time:
            return jsonify(category=predict(request.get_data()))

    @app.get("/healthz")
    def healthz():
        return jsonify(status="ok")

    return app


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    create(sys.argv[1]).run("127.0.0.1", int(sys.argv[2]), threaded=True)
