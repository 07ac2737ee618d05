#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""default-targets.py BUILD: the files that meson builds by default, relative to BUILD.

ninja's own `all` has the programs of every unit test as well.
"""
import json
import os
import subprocess
import sys

build = os.path.realpath(sys.argv[1])
targets = json.loads(subprocess.run(["meson", "introspect", "--targets", build], check=True, capture_output=True).stdout)
print(*(os.path.relpath(f, build) for t in targets if t["build_by_default"] for f in t["filename"]))
