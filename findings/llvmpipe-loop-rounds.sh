#!/usr/bin/env bash
# Mesa's llvmpipe (Vulkan, 22.3.6 of Debian 12) ends the loops of a shader without a word after
# 65,535 rounds, all loops of an invocation counted together: the result is wrong, and there is no error.
# Shown with wgpu-py alone. Needs python3 with venv, the package index, and mesa-vulkan-drivers.
#
# Exit code 0: the driver behaves as described. 1: it does not (any more). 2: it could not be tried.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check wgpu==0.32.0 cffi==2.1.1

echo "driver package: $(dpkg-query -W mesa-vulkan-drivers 2>/dev/null || echo unknown)"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import wgpu

# Each row: two nested loops, and what their body has to be run.
LOOPS = [(1, 60_000), (1, 65_534), (1, 70_000), (300, 200), (300, 300), (1000, 1000)]
# What Mesa 22.3.6 gives.
SEEN = [60_000, 65_534, 65_535, 60_000, 65_101, 65_405]

SHADER = """
@group(0) @binding(0) var<storage, read_write> counts: array<u32>;
@group(0) @binding(1) var<storage, read> sizes: array<vec2<u32>>;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>) {
    let size = sizes[id.x];
    var count = 0u;
    for (var i = 0u; i < size.x; i++) {
        for (var j = 0u; j < size.y; j++) {
            // Not known to the compiler as j, so the loop stays one.
            count += min(1u, size.y - j);
        }
    }
    counts[id.x] = count;
}
"""

adapters = [a for a in wgpu.gpu.enumerate_adapters_sync() if "llvmpipe" in a.info["device"] and a.info["backend_type"] == "Vulkan"]
if not adapters:
    print("no llvmpipe on Vulkan on this machine")
    sys.exit(2)
info = adapters[0].info
print(f"wgpu-py {version('wgpu')} on {info['device']}, {info['description']}")

device = adapters[0].request_device_sync()
words = [n for pair in LOOPS for n in pair]
usage = wgpu.BufferUsage
sizes = device.create_buffer_with_data(data=b"".join(n.to_bytes(4, "little") for n in words), usage=usage.STORAGE)
counts = device.create_buffer(size=4 * len(LOOPS), usage=usage.STORAGE | usage.COPY_SRC)
pipeline = device.create_compute_pipeline(
    layout="auto", compute={"module": device.create_shader_module(code=SHADER), "entry_point": "main"}
)
entries = [{"binding": i, "resource": {"buffer": b}} for i, b in enumerate([counts, sizes])]
group = device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
encoder = device.create_command_encoder()
compute = encoder.begin_compute_pass()
compute.set_pipeline(pipeline)
compute.set_bind_group(0, group)
compute.dispatch_workgroups(len(LOOPS))
compute.end()
device.queue.submit([encoder.finish()])
found = list(memoryview(device.queue.read_buffer(counts)).cast("I"))

print("outer × inner rounds: run, of")
for (outer, inner), count in zip(LOOPS, found):
    print(f"{outer} × {inner}: {count}, of {outer * inner}")
if found == SEEN:
    print("all loops of an invocation share 65,535 rounds; what is beyond is left out without an error")
    sys.exit(0)
print(f"this differs from what Mesa 22.3.6 gave: {SEEN}")
sys.exit(1)
PYTHON
