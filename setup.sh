#!/usr/bin/env bash
# Install the exact versions of one or more lock files into .venv, which is made where it is missing.
# uv does the work: the one on the PATH, or one of its own that pip brings into .venv.
set -euo pipefail
cd "$(dirname "$0")"
venv=.venv
uv_version=0.13.9

fits() { # a Python from 3.11 to 3.13
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null
}

find_python() {
  for name in python3 python3.13 python3.12 python3.11; do
    if fits "$name"; then echo "$name" && return; fi
  done
}

python=$(find_python)
if ! fits "$venv/bin/python"; then
  rm -rf "$venv"
  if [[ -n $python ]]; then
    "$python" -m venv "$venv" || { echo "error: $python cannot make a virtual environment; on" \
      "Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
  elif command -v uv > /dev/null; then # brings a Python of its own
    uv venv --quiet --seed --python 3.12 "$venv" || { echo "error: Python 3.11 to 3.13 is" \
      "needed, and uv cannot bring one; install one, for example 3.12" >&2; exit 1; }
  else
    echo "error: Python 3.11 to 3.13 is needed, and python3 is" \
      "$(python3 --version 2>&1 || echo missing); install one of these, or uv, which brings one" >&2
    exit 1
  fi
  # Scripts in .venv/bin then work after the folder was renamed too.
  echo "relocatable = true" >> "$venv/pyvenv.cfg"
fi
if ! uv=$(command -v uv); then
  uv=$venv/bin/uv
  [[ -x $uv ]] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi
for lock in "$@"; do
  SECONDS=0
  echo "installing the $(grep -c '^[a-z].*==' "$lock") packages of $lock into $venv ..."
  "$uv" pip install --quiet --python "$venv/bin/python" --requirement "$lock"
  echo "... done in $SECONDS s"
done
# One word, as the shell's completion wants, for the project's folder and those inside it.
cat > "$venv/bin/pipeline" << 'END'
#!/bin/sh
project=$(CDPATH= cd "$(dirname "$0")/../.." && pwd)
PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH} exec "$project/.venv/bin/python" -m pipeline "$@"
END
chmod +x "$venv/bin/pipeline"
