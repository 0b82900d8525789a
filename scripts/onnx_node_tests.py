#!/usr/bin/env python3
"""Generates the ONNX backend node tests into a folder, for `unisono check --onnx FOLDER`.

    scripts/onnx_node_tests.py FOLDER [--venv VENV]

The tests come from the `onnx` package of PyPI, at the version below, which is installed into a
virtual environment (VENV, by default FOLDER.venv). Each test becomes a folder in the layout of ONNX's own
test data: model.onnx, test_data_set_N/input_M.pb and output_M.pb. The data is a pure function of
the version: every test seeds its generator. manifest.json says what was generated.

The data belongs to the ONNX project (Apache-2.0) and stays outside of this repository.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import venv

REQUIREMENTS = ["onnx==1.23.2", "numpy==2.4.6", "ml_dtypes==0.6.0"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the tests go; created, must be empty or absent")
    parser.add_argument("--venv", type=pathlib.Path, help="virtual environment to make or reuse")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.inside:
        generate(folder)
        return
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty")
    environment = (arguments.venv or folder.with_name(folder.name + ".venv")).resolve()
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(environment, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    subprocess.run([python, __file__, str(folder), "--inside"], check=True)


def generate(folder):
    # Imported here: only the virtual environment has them.
    import onnx
    from onnx import numpy_helper
    from onnx.backend.test.case.node import collect_testcases

    makers = {
        "map_type": numpy_helper.from_dict,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
        "tensor_type": numpy_helper.from_array,
    }

    def write(path, values, infos):
        for i, (value, info) in enumerate(zip(values, infos)):
            if not isinstance(value, onnx.TensorProto):
                value = makers[info.type.WhichOneof("value")](value, info.name)
            path.with_name(f"{path.name}_{i}.pb").write_bytes(value.SerializeToString())

    cases = collect_testcases(None)
    for case in cases:
        target = folder / case.name
        target.mkdir(parents=True)
        (target / "model.onnx").write_bytes(case.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = target / f"test_data_set_{i}"
            data.mkdir()
            write(data / "input", inputs, case.model.graph.input)
            write(data / "output", outputs, case.model.graph.output)
    manifest = {"source": "onnx backend node tests", "onnx": onnx.__version__, "tests": len(cases)}
    (folder / "manifest.json").write_text(json.dumps(manifest) + "\n")
    print(f"{len(cases)} tests of onnx {onnx.__version__} in {folder}")


if __name__ == "__main__":
    main()
