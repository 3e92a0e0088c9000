#!/bin/sh
# lock.sh PYTHON EXTRAS TORCH: installs the project with its extras into a fresh environment and freezes that.
# Versions only: no local builds (+cpu), and no packages that only torch's CUDA builds bring along.
set -eu
python=$1 extras=$2 torch=$3
folder=build/lock
rm -rf "$folder" build/lib build/bdist.*
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet ".[$extras]" "$torch"
{
    echo "# Every version that CI uses. Made by \`make lock\` with $("$python" --version); do not edit."
    "$folder/bin/python" -m pip freeze --all --exclude chunked-prefill-course --exclude pip |
        sed -e 's/+[a-z0-9.]*$//' -e '/^nvidia-/d' -e '/^triton==/d'
} > "$folder.txt"
mv "$folder.txt" requirements.lock
rm -rf "$folder" build/lib build/bdist.*
