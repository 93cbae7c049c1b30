#!/usr/bin/env python3
"""This program answers ssh's question for a key's password, with the file that the environment names."""

import os
from pathlib import Path

print(Path(os.environ["MATRIX_MEDIA_STORE_ANSWER"]).read_text())
