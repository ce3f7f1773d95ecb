"""`datasets` reads these when it is imported, which the code under test does late."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="winnow-test-hf-"))
