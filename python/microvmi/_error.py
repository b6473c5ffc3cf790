# SPDX-License-Identifier: Apache-2.0
"""Errors of the library as exceptions."""
import ctypes

from microvmi._native import lib


class Error(Exception):
    """Why it failed: `code` such as "hole", the message, and `hint`, what to do next."""

    def __init__(self, message: str, code: str, hint: str) -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.message, self.code, self.hint = message, code, hint


def decode(text: bytes | None) -> str:
    return (text or b"").decode(errors="replace")


def raise_error(error: ctypes.c_void_p) -> None:
    code = decode(lib.mvmi_errc_name(lib.mvmi_error_code(error)))
    message, hint = decode(lib.mvmi_error_message(error)), decode(lib.mvmi_error_hint(error))
    lib.mvmi_error_free(error)
    raise Error(message, code, hint)
