# SPDX-License-Identifier: Apache-2.0
"""libkdumpfile through its C API (libkdumpfile/kdumpfile.h): a reader of dumps that is not ours."""
import ctypes
import ctypes.util
import os

NAME = ctypes.util.find_library("kdumpfile")
MACHPHYSADDR = 1  # KDUMP_MACHPHYSADDR
PAGE = 4096


def memory_of(file, size):
    """Its first `size` bytes, page by page; an OSError says which page it refuses and why."""
    lib = ctypes.CDLL(NAME)
    lib.kdump_new.restype = ctypes.c_void_p
    lib.kdump_get_err.restype = ctypes.c_char_p
    lib.kdump_get_err.argtypes = lib.kdump_free.argtypes = [ctypes.c_void_p]
    lib.kdump_open_fdset.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.POINTER(ctypes.c_int)]
    lib.kdump_read.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p,
                               ctypes.POINTER(ctypes.c_size_t)]
    context = lib.kdump_new()
    descriptor = os.open(file, os.O_RDONLY)
    try:
        if lib.kdump_open_fdset(context, 1, ctypes.byref(ctypes.c_int(descriptor))):
            raise OSError(lib.kdump_get_err(context).decode())
        page, out = ctypes.create_string_buffer(PAGE), bytearray()
        for at in range(0, size, PAGE):
            length = ctypes.c_size_t(PAGE)
            if lib.kdump_read(context, MACHPHYSADDR, at, page, ctypes.byref(length)):
                raise OSError(f"{at:#x}: {lib.kdump_get_err(context).decode()}")
            out += page.raw
        return bytes(out)
    finally:
        lib.kdump_free(context)
        os.close(descriptor)
