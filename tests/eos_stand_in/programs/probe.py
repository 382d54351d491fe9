"""Tells how it was started, and ends as it is told to."""

# ruff: noqa: T201

import atexit
import json
import sys

MARK = "end"
if sys.argv[1:] == ["leave"]:
    sys.exit(3)
if sys.argv[1:] == ["fail"]:
    raise LookupError("so it is")
atexit.register(lambda: print(MARK))
print(json.dumps([sys.argv[1:], sys.path[0], __name__]))
print(__file__)
