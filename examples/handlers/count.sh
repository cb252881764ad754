#!/bin/sh
# Counts to its argument, five numbers a second: ebb enqueue Count 100
set -eu

# The job is JSON on standard input. Its arguments are an array, here of a number.
total=$(sed -n 's/.*"args" *: *\[ *"*\([0-9][0-9]*\)"* *\].*/\1/p')
[ -n "$total" ] || { echo "Count takes one number" >&2; exit 1; }

# What an earlier run has saved, or nothing.
i=0
[ ! -e "$EBB_CHECKPOINT" ] || i=$(cat "$EBB_CHECKPOINT")

# A new file replaces the old one as a whole: no half of it is ever read.
save() {
  echo "$i" > "$EBB_CHECKPOINT.new"
  mv "$EBB_CHECKPOINT.new" "$EBB_CHECKPOINT"
}

# The worker must end before the job does: save, and say that it was this signal.
trap 'save; exit 143' TERM

while [ "$i" -lt "$total" ]; do
  sleep 0.2
  i=$((i + 1))
  echo "$i of $total"
  save
done
