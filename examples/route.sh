#!/bin/sh
# `claw route` in ten lines of shell: every new event goes to one agent, in a session of its address.
# Run it in a workspace: examples/route.sh [AGENT] | claw run-agent - | claw deliver -
mkdir -p .claw/locks && exec 9>>.claw/locks/route && flock 9
# A listing may show a late file and miss an earlier one: the second is good up to the end of the first.
set -- "${1:-pickle}" inbox/new/*Z-*.json && for last; do :; done
for file in inbox/new/*Z-*.json; do
  [ "$file" \> "$last" ] && break
  [ -e "$file" ] && name=$(basename "$file" .json) || continue
  id=${name#*~} # what is delayed has its due time before the id
  [ "$id" = "$name" ] || [ "${name%%~*}" \< "$(date -u +%Y%m%dT%H%M%S)" ] || continue
  place=$(sed -n 's/.*"reply_to":"\([a-z0-9]*\):\([A-Za-z0-9._-]*\)".*/\1-\2/p' "$file")
  mv -n "$file" "inbox/ready/$id~$1.${place:-elsewhere}~0.json" && echo "$id"
done
