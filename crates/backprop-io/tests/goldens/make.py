"""Writes the files beside it. Run here: python make.py (NumPy 2.4, safetensors 0.8)."""
import gzip
import struct
import numpy as np
from numpy.lib import format as npy
from safetensors.numpy import save_file

TYPES = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "i64": "<i8", "u32": "<u4", "u8": "u1", "bool": "?"}
ramp = np.arange(6).reshape(2, 3)


def write(name, array, version=(1, 0)):
    with open(name, "wb") as file:
        npy.write_array(file, array, version=version)


for name, dtype in TYPES.items():
    write(f"{name}.npy", ((ramp - 1) * 1.5).astype(dtype) if dtype[1:] != "u4" and dtype != "u1" else ramp.astype(dtype))
for name in ("f4", "f8", "i4", "i8", "u4"):
    write(f"big_{name}.npy", ramp.astype(">" + name))
write("fortran.npy", np.asfortranarray(np.arange(30, dtype="<i4").reshape(2, 3, 5)))
write("version2.npy", ramp.astype("<f4"), (2, 0))
write("version3.npy", ramp.astype("<f4"), (3, 0))
write("rank0.npy", np.array(2.5))
write("empty.npy", np.zeros((2, 0, 3), "<f4"))
for name in ("f2", "i1", "i2", "u2", "u8", "c8"):
    write(f"no_{name}.npy", ramp.astype(name))
write("no_fields.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
write("no_object.npy", np.array([None, {}], dtype=object))
write("no_text.npy", np.array(["a", "bc"]))
arrays = {"w": ramp.astype("<f4"), "layers/0.bias": np.arange(500) % 7, "é": np.array(True)}
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
tensors = {"w": ramp.astype("<f4"), "b": np.arange(3, dtype="<f8"), "mask": np.array([True, False]), "é\n": np.array(7, "<i4")}
save_file(tensors, "python.safetensors", {"made by": "safetensors"})
save_file({"h": ramp.astype("f2")}, "no_f16.safetensors")
images = struct.pack(">HBBIII", 0, 8, 3, 2, 3, 5) + bytes(range(30))
open("images.idx", "wb").write(images)
open("images.idx.gz", "wb").write(gzip.compress(images, mtime=0))
