"""What a record is: contracts, records, sources, the bundle. Imports nothing of flows/ or serving/."""

import os

# From 1.29 on, importing onnxruntime on Linux starts telemetry to its maker, model names included,
# unless this is set. Everything of ours that uses it imports data/ first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
