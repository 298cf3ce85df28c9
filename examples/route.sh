#!/bin/sh
# `claw route` in ten lines of shell: every new event goes to one agent, in a session of its address.
# Run it in a workspace: examples/route.sh [AGENT] | claw run-agent - | claw deliver -
exec 9>>.claw/locks/route && flock 9
for file in inbox/new/*Z-*.json; do
  id=$(basename "$file" .json)
  case $id in *'~'* | '*'*) continue ;; esac # delayed, or nothing there
  place=$(sed -n 's/.*"reply_to":"\([a-z0-9]*\):\([A-Za-z0-9._-]*\)".*/\1-\2/p' "$file")
  mv -n "$file" "inbox/ready/$id~${1:-pickle}.${place:-elsewhere}~0.json" && echo "$id"
done
