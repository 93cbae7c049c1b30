"""Sent to the server: every file below the folder given, with the SHA-256 of its content, as JSON."""

import hashlib
import json
import os
import sys

found = {}
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            found[os.path.relpath(path, sys.argv[1])] = hashlib.sha256(file.read()).hexdigest()
print(json.dumps(found))
