#!/bin/sh
# The lock files hold versions and hashes but no address, so that any index or mirror serves them.
set -eu
export UV_PYTHON_DOWNLOADS=never
uv=$(command -v .venv/bin/uv || command -v uv)
"$uv" lock --quiet --upgrade
export_lock() {
    "$uv" export --quiet --all-packages --no-emit-workspace --no-annotate --no-header \
        --format requirements-txt "$@"
}
export_lock --no-dev --extra onnx --output-file requirements.lock
export_lock --extra onnx --extra litert --extra pkcs11 --extra camera --extra dvc \
    --output-file requirements-dev.lock
rm -f uv.lock
