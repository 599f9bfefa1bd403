#!/usr/bin/env bash
# Clones the repositories that standard input names, OWNER/NAME a line, side by side into FOLDER, and lists them in FOLDER/list.
# A clone that is there already is brought up to date. Usage: clone.sh FOLDER < names
set -euo pipefail
folder=${1:?usage: clone.sh FOLDER < names}
mkdir -p -- "$folder"
: > "$folder/list"
while IFS= read -r name; do
  if [[ ! $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$ ]]; then
    printf 'clone.sh: %q is no OWNER/NAME\n' "$name" >&2
    exit 2
  fi
  clone=$folder/${name/\//+}
  if [ -e "$clone/.git" ]; then
    git -C "$clone" fetch --quiet --depth 1 origin HEAD
    git -C "$clone" checkout --quiet --detach FETCH_HEAD
  else
    git clone --quiet --depth 1 -- "https://github.com/$name.git" "$clone"
  fi
  printf '%s\n' "$clone" >> "$folder/list"
done
