#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Called by `meson install`: the node's configuration, unless the node's owner has one already.
#   install-node-config.sh DIRECTORY allow|deny
set -e
file=${DESTDIR:-}$1/rune/node.json
[ -e "$file" ] && exit 0
mkdir -p "$(dirname "$file")"
printf '{ "emulator": "%s" }\n' "$2" >"$file.new"
chmod 644 "$file.new"
mv "$file.new" "$file"
