#!/bin/sh
# Builds .venv from lock files with hashes: install.sh PYTHON LOCK...
# uv installs several times faster than pip; where it cannot reach the index that pip is set up for, pip does it.
set -eu
python=$1
shift
[ -x .venv/bin/python ] || "$python" -m venv .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install --quiet --require-hashes -r deploy/bootstrap.lock
for lock in "$@"; do
    if ! VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --compile-bytecode --require-hashes -r "$lock"; then
        echo "uv could not install $lock; trying pip" >&2
        .venv/bin/python -m pip install --quiet --require-hashes -r "$lock"
    fi
done
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
