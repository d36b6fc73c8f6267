#!/bin/sh
# Run the public TUF conformance suite against the agent, without a list of expected failures.
# TUF_CONFORMANCE_DIR names a copy of the suite; without it the pinned commit is fetched.
set -eu
# After v2.4.0, which lacks five tests: the roles that two delegators name, and path patterns.
commit=eec841c186f81f2d9d8d30460c7e7deefa615f9e
url=https://github.com/theupdateframework/tuf-conformance
home=$PWD/.tools/tuf-conformance
agent=$PWD/.venv/bin/lamplighter-agent

say() { printf '%s\n' "$*" >&2; }
fail() { say "The public TUF conformance suite did not run: $*"; exit 1; }

case $PWD in
    *' '*) fail "it splits the command at spaces, and there is one in $PWD." ;;
esac
suite=${TUF_CONFORMANCE_DIR:-$home/$commit}
if [ -n "${TUF_CONFORMANCE_DIR:-}" ]; then
    [ -f "$suite/tuf_conformance/conftest.py" ] || fail "TUF_CONFORMANCE_DIR=$suite does not hold it."
elif [ ! -d "$suite" ]; then
    say "Fetching $url at $commit"
    rm -rf "$suite.part"
    git init --quiet "$suite.part"
    git -C "$suite.part" fetch --quiet --depth 1 "$url" "$commit" ||
        fail "it cannot be fetched. Set TUF_CONFORMANCE_DIR to a copy of $url at $commit."
    git -C "$suite.part" checkout --quiet FETCH_HEAD
    mv "$suite.part" "$suite"
fi
command -v faketime >/dev/null 2>&1 ||
    fail "the program 'faketime' is missing: 'apt-get install faketime' or 'brew install libfaketime'."

# Its own environment: the suite pins other versions of tuf than the agent uses.
if ! "$home/venv/bin/python" -c 'import tuf_conformance, pytest_jsonreport' 2>/dev/null ||
    [ "$(cat "$home/suite" 2>/dev/null)" != "$suite" ]; then
    say "Installing the suite into .tools"
    mkdir -p "$home"
    .venv/bin/python -m venv --clear "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$suite" ||
        fail "its dependencies cannot be installed."
    printf '%s' "$suite" >"$home/suite"
fi
# Its own configuration, too: this project's would be found above .tools.
exec "$home/venv/bin/pytest" -q -c "$suite/pyproject.toml" "$suite/tuf_conformance" \
    --entrypoint "$agent tuf"
