// SPDX-License-Identifier: Apache-2.0
// The guard process: a guest paused by a program that is killed runs again.
//
// A program asks for it with InitOptions::guard. Its pause() then starts the helper program
// microvmi-guard, which opens the same guest, pauses it, and resumes it when it is told to or when
// the program is gone, SIGKILL included. The helper lives in a session of its own, hears no Ctrl-C
// and is no child of the program. Where the helper itself is killed, the next pause() says so, and
// resume() and closing the Vm resume the guest without it. A driver whose pauses end with its
// connection (RunControl::stays_paused()) needs no helper, and pauses by itself.
#pragma once

namespace microvmi {

// All that the helper program does; for its main() alone. The exit code.
[[nodiscard]] int serve_guard();

}  // namespace microvmi
