"""Makes a release: data → model → numbers → card, as the files of `build/model/`."""

import os

# TensorFlow turns oneDNN on by itself for newer processors only; on others it saves a fifth of the
# time, too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A release's few megabytes go over plain HTTP, which the Hub takes as well and whose failures
# hub.py knows; the Xet client tries by itself for minutes, and its errors share no class.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
