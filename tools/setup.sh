#!/bin/sh
# Make .venv with what `make demo` (runtime) or development (dev) needs.
# Installs the broker, venv and, for dev, a browser and a software token
# with the system's package manager if missing.
set -eu
kind=$1

say() { printf '%s\n' "$*" >&2; }
has() { PATH="$PATH:/usr/sbin:/opt/homebrew/sbin" command -v "$1" >/dev/null 2>&1; }

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3; do
        if has "$name" && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then echo "$name"; return; fi
    done
}

install_system() { # install_system DEBIAN-PACKAGES BREW-PACKAGES
    sudo=''
    if has apt-get; then
        if [ "$(id -u)" -ne 0 ]; then
            has sudo || { say "Not root and no sudo: ask your administrator to run 'apt-get install $1', then try again."; exit 1; }
            sudo=sudo
        fi
        say "Installing with apt-get: $1 ${sudo:+(sudo may ask for your password)}"
        # shellcheck disable=SC2086 # the list is meant to be split
        { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $1; } >/dev/null ||
            { say "apt-get failed. Run 'apt-get install $1' by hand to see why, then try again."; exit 1; }
    elif has brew; then
        [ -n "$2" ] || return 0
        say "Installing with brew: $2"
        # shellcheck disable=SC2086
        brew install --quiet $2
    else
        say "No apt-get and no brew here: install $1 yourself, then try again."; exit 1
    fi
}

missing='' brew_missing=''
has mosquitto || { missing="$missing mosquitto" brew_missing="$brew_missing mosquitto"; }
python=$(find_python)
[ -n "$python" ] || { missing="$missing python3" brew_missing="$brew_missing python@3.13"; }
if [ -n "$python" ] && ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    missing="$missing python3-venv"
fi
if [ "$kind" = dev ] && ! has chromium && ! has google-chrome && has apt-get; then
    missing="$missing chromium"
fi
if [ "$kind" = dev ]; then
    has softhsm2-util || { missing="$missing softhsm2" brew_missing="$brew_missing softhsm"; }
fi
[ -z "$missing" ] || install_system "${missing# }" "${brew_missing# }"
python=$(find_python)
[ -n "$python" ] || { say "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3."; exit 1; }

if [ ! -x .venv/bin/python ]; then
    say "Making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.7'
lock=requirements.lock
[ "$kind" = runtime ] || lock=requirements-dev.lock
say "Installing what $lock lists (half a minute the first time)"
export VIRTUAL_ENV="$PWD/.venv" UV_PYTHON_DOWNLOADS=never
.venv/bin/uv pip install --quiet --compile-bytecode --require-hashes -r "$lock"
.venv/bin/uv pip install --quiet --no-deps -e protocol -e agent -e converters -e server
