#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A page of this directory as roff on stdout: man.sh NAME.SECTION.md. The first line, its title for readers of Markdown, goes.
set -e
page=$(basename "$1" .md)
name=${page%.*}
sed 1d "$1" | lowdown -s -Tman --out-no-smarty -M title="$(echo "$name" | tr a-z A-Z)" -M section="${page##*.}" \
    -M shiftheadinglevelby=-1
