import base64
import io
import json
import os
import runpy
import sys

d = json.load(sys.stdin)
f = os.fdopen(os.memfd_create("agent"), "wb", 0)
f.write(base64.b64decode(d.pop("agent")))
sys.stdin = io.StringIO(json.dumps(d))
runpy.run_path(f"/proc/self/fd/{f.fileno()}", run_name="__main__")
