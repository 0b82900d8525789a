#!/usr/bin/env bash
# A/A: runs the same benchmark in pairs and compares each pair. Nothing has changed between the two,
# so every row that `unisono bench diff` flags is a false alarm. At most 1% may be.
#
#   bench-aa.sh [--pairs N] [--out DIR] UNISONO [OPTION-OF-BENCH]...
#
#   --pairs N   pairs of runs (default 10)
#   --out DIR   where the reports go (default: ./bench-aa)
#
# For example, on a machine with nothing else to do:
#
#   bench-aa.sh target/release/unisono --device cpu --set llama-decode
#
# The exit status is 0 if at most 1% of the rows were flagged, 1 if more were, 2 for bad usage.
set -uo pipefail

pairs=10
out=bench-aa
while [ $# -gt 0 ]; do
    case $1 in
    --pairs | --out)
        if [ $# -lt 2 ]; then
            echo "$1 needs a value" >&2
            exit 2
        fi
        case $1 in
        --pairs) pairs=$2 ;;
        --out) out=$2 ;;
        esac
        shift 2
        ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    -*)
        echo "unknown option '$1'; --help explains" >&2
        exit 2
        ;;
    *) break ;;
    esac
done
case $pairs in
'' | 0 | *[!0-9]*)
    echo "--pairs $pairs: a number from 1 up is wanted" >&2
    exit 2
    ;;
esac
if [ $# -eq 0 ] || [ ! -x "$1" ]; then
    echo "no program at '${1:-}'; --help explains" >&2
    exit 2
fi
binary=$1
shift
mkdir -p "$out" || exit 2

compared=0
flagged=0
for ((pair = 1; pair <= pairs; pair++)); do
    for side in a b; do
        if ! "$binary" bench "$@" --report "$out/$pair$side" >"$out/$pair$side.txt" 2>&1; then
            tail -n 5 "$out/$pair$side.txt" >&2
            echo "run $pair$side failed" >&2
            exit 1
        fi
    done
    "$binary" bench diff "$out/${pair}a/bench.json" "$out/${pair}b/bench.json" >"$out/$pair.txt"
    # The last line: `passed: 24 rows compared; 0 broken, 0 regression, 0 improvement, 1 noise`.
    last=$(tail -n 1 "$out/$pair.txt")
    numbers=$(sed -n 's/.*: \([0-9]*\) rows compared; \([0-9]*\) broken, \([0-9]*\) regression, \([0-9]*\) improvement.*/\1 \2 \3 \4/p' <<<"$last")
    if [ -z "$numbers" ]; then
        echo "no comparison in '$last'" >&2
        exit 1
    fi
    read -r rows broken slower faster <<<"$numbers"
    compared=$((compared + rows))
    flagged=$((flagged + broken + slower + faster))
    echo "pair $pair of $pairs: $last;$(grep -h 'rows must differ' "$out/$pair.txt" | head -n 1)"
done
echo "$flagged of $compared rows flagged in $pairs pairs"
[ $((flagged * 100)) -le "$compared" ]
