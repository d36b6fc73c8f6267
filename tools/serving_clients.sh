#!/bin/sh
# Let public clients of the serving protocols talk to a real worker.
set -eu
# Their own environment: the client brings gevent and holds back packages that the agent uses.
client='tritonclient[http]==2.73.0'
home=$PWD/.tools/serving-clients
if [ "$(cat "$home/installed" 2>/dev/null)" != "$client" ]; then
    printf 'Installing %s into .tools\n' "$client" >&2
    .venv/bin/python -m venv --clear "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check "$client"
    printf '%s' "$client" >"$home/installed"
fi
exec .venv/bin/python -m tests.conformance.clients "$home/bin/python"
