#!/usr/bin/env bash
# One round of a tester's machine: lists its devices, runs the main job, and on every device the full
# conformance level, a short generation, the ceilings, the benchmarks of operations with every kernel
# that could serve them, and a model of random weights. It needs no Rust and no network: the binary
# `unisono` lies next to this script, or its path is the first argument.
#
#   device-round.sh [--out DIR] [--packed] [--debs DIR] [--limit SECONDS] [PATH-OF-UNISONO]
#
#   --out DIR        where results go; else $OUT; else ./unisono-round-<host>-<date>
#   --packed         leaves summary.txt and the archive alone, without the loose files
#   --debs DIR       Debian packages of the Vulkan and EGL loaders (libvulkan1, libegl1, libglvnd0,
#                    libgl1, libglx0, libgles2, libopengl0), for a machine that has a graphics
#                    driver and no loader. Where libvulkan.so.1 is missing they are unpacked with
#                    `dpkg -x`: by root into / (followed by ldconfig), by anybody else into a folder
#                    of the results that LD_LIBRARY_PATH then names. Nothing is configured or
#                    registered with the package manager. Without --debs nothing is unpacked.
#   --limit SECONDS  ends a step that runs longer (default 3600) and counts it as not finished
#
# Every step runs, whatever happened before it. The results are summary.txt, one folder per step
# with its output and report, and all of it packed in unisono-round.tar.gz after each step, so that
# a machine that dies leaves what it had. The exit status is 0 if every step passed, 4 if none failed
# and some are not finished, else 1.
set -uo pipefail

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

out=${OUT:-}
debs=
packed=
limit=3600
binary=
while [ $# -gt 0 ]; do
    case $1 in
    --out | --debs | --limit)
        if [ $# -lt 2 ]; then
            echo "$1 needs a value" >&2
            exit 2
        fi
        case $1 in
        --out) out=$2 ;;
        --debs) debs=$2 ;;
        --limit) limit=$2 ;;
        esac
        shift 2
        ;;
    --packed)
        packed=1
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        echo "unknown option '$1'; --help explains" >&2
        exit 2
        ;;
    *)
        binary=$1
        shift
        ;;
    esac
done

here=$(cd "$(dirname "$0")" && pwd)
binary=${binary:-$here/unisono}
if [ ! -x "$binary" ]; then
    echo "no program at $binary; give its path as an argument" >&2
    exit 2
fi
binary=$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")
out=${out:-unisono-round-$(uname -n)-$(date -u +%Y%m%d-%H%M%S)}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
# The loose files lie in one folder, which is packed.
if [ -n "$packed" ]; then
    loose=$(mktemp -d) || exit 2
    trap 'rm -rf "$loose"' EXIT
else
    loose=$out
fi
round=$loose/round
mkdir -p "$round" || exit 2
summary=$out/summary.txt
: >"$summary"

say() {
    printf '%s\n' "$*" | tee -a "$summary"
}

has_vulkan_loader() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -q 'libvulkan\.so\.1'
}

# Unpacks the loaders' packages where the machine lacks them.
unpack_debs() {
    if has_vulkan_loader; then
        say "libvulkan.so.1 is installed: the packages in $debs are not needed"
        return
    fi
    if ! command -v dpkg >/dev/null; then
        say "no dpkg here: the packages in $debs cannot be unpacked"
        return
    fi
    local root=$loose/loaders package folder
    if [ "$(id -u)" -eq 0 ]; then
        root=/
    fi
    mkdir -p "$root"
    for package in "$debs"/*.deb; do
        say "unpacking $(basename "$package") into $root"
        dpkg -x "$package" "$root" || say "  failed"
    done
    if [ "$root" = / ]; then
        ldconfig
        return
    fi
    for folder in "$root"/usr/lib/* "$root"/lib/*; do
        if [ -d "$folder" ]; then
            LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        fi
    done
    export LD_LIBRARY_PATH
}

# Containers with an NVIDIA GPU often mount the driver where no loader looks for it.
find_mounted_driver() {
    local share=/usr/local/nvidia/share
    if [ -z "${VK_DRIVER_FILES:-}" ] && [ -f "$share/vulkan/icd.d/nvidia_icd.json" ] &&
        ! ls /etc/vulkan/icd.d/*nvidia* /usr/share/vulkan/icd.d/*nvidia* >/dev/null 2>&1; then
        export VK_ADD_DRIVER_FILES=$share/vulkan/icd.d/nvidia_icd.json
        say "driver manifest outside the standard folders: $VK_ADD_DRIVER_FILES"
    fi
    if [ -z "${__EGL_VENDOR_LIBRARY_FILENAMES:-}" ] && [ -f "$share/glvnd/egl_vendor.d/10_nvidia.json" ] &&
        ! ls /etc/glvnd/egl_vendor.d/*nvidia* /usr/share/glvnd/egl_vendor.d/*nvidia* >/dev/null 2>&1; then
        export __EGL_VENDOR_LIBRARY_FILENAMES=$share/glvnd/egl_vendor.d/10_nvidia.json
        say "EGL vendor outside the standard folders: $__EGL_VENDOR_LIBRARY_FILENAMES"
    fi
}

pack() {
    tar -czf "$out/unisono-round.tar.gz.part" -C "$loose" round -C "$out" summary.txt &&
        mv "$out/unisono-round.tar.gz.part" "$out/unisono-round.tar.gz"
}

failed=0
unfinished=0
# step NAME ARGUMENT...: runs the program in the folder of the step and notes how it went.
step() {
    local name=$1 started=$SECONDS status
    shift
    local folder=$round/$name
    mkdir -p "$folder"
    printf '\n== %s: unisono %s\n' "$name" "$*"
    (
        cd "$folder" || exit 1
        if command -v timeout >/dev/null; then
            timeout "$limit" "$binary" "$@"
        else
            "$binary" "$@"
        fi
    ) 2>"$folder/stderr.txt" | tee "$folder/stdout.txt"
    status=${PIPESTATUS[0]}
    if [ "$status" -eq 0 ]; then
        say "passed  $name ($((SECONDS - started)) s)"
    else
        tail -n 20 "$folder/stderr.txt"
        case $status in
        4 | 124) unfinished=$((unfinished + 1)) ;;
        *) failed=$((failed + 1)) ;;
        esac
        case $status in
        4) say "not finished  $name ($((SECONDS - started)) s): unisono check --resume runs the rest" ;;
        124) say "not finished  $name: over $limit s" ;;
        *) say "FAILED  $name: status $status ($((SECONDS - started)) s); last words: $(tail -n 1 "$folder/stderr.txt")" ;;
        esac
    fi
    pack
    return "$status"
}

say "$("$binary" --version 2>&1) on $(uname -srm), $(date -u '+%Y-%m-%d %H:%M:%S') UTC"
if [ -n "$debs" ]; then
    unpack_debs
fi
find_mounted_driver
{
    uname -a
    cat /etc/os-release
    lscpu
    nvidia-smi
    ls -l /usr/share/vulkan/icd.d /etc/vulkan/icd.d
} >"$round/machine.txt" 2>&1

step devices devices
step devices-json devices --json
# The ids of the devices; their form is that of `--device`.
ids=$(grep -o '"id": *"[^"]*"' "$round/devices-json/stdout.txt" | sed 's/.*"\([^"]*\)"$/\1/' | sort -u)
if [ -z "$ids" ]; then
    failed=$((failed + 1))
    say 'FAILED  no device is listed'
fi

step main
for id in $ids; do
    safe=$(printf '%s' "$id" | tr -c 'A-Za-z0-9._-' '-')
    step "check-$safe" check --device "$id" --level full --report report --quiet
    if step "generate-$safe" generate --device "$id" --prompt 'Once upon a time' --max-tokens 200; then
        say "        $(cat "$round/generate-$safe/"std*.txt | grep -iE 'tok(en)?s?(/| per )s' | tail -n 1)"
    fi
    step "ceilings-$safe" bench ceilings --device "$id" --report report
    step "bench-$safe" bench --device "$id" --report report
    step "candidates-$safe" bench --candidates --dtype f16 --dtype q4_0 --device "$id" --report report
    step "model-$safe" bench model --device "$id" --shape 1b --dtype q4_0
done

say ''
if [ "$failed" -eq 0 ] && [ "$unfinished" -eq 0 ]; then
    say 'All steps passed.'
else
    say "$failed step(s) failed, $unfinished not finished."
fi
say "Results: $out"
pack
[ "$failed" -eq 0 ] || exit 1
[ "$unfinished" -eq 0 ] || exit 4
