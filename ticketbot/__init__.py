"""Looks at the pictures people attach to tickets and says what they are, on the ticket, by itself."""

import os

__version__ = "0.1.0"

# onnxruntime (1.29 and later) tells its makers over the network which models it loads, unless this is set before it is
# imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
