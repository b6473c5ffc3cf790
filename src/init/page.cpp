// SPDX-License-Identifier: Apache-2.0
// The reference page of the parameters.
#include "microvmi/init_args.hpp"

namespace microvmi {
namespace {

constexpr const char* kHead = R"(<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Written by the library from the rows of its parameters: see tests/unit/init/page_test.cpp. -->
# Parameters

Every parameter of every driver. The same key works everywhere:

| where | how |
|---|---|
| C++, by type | `KvmInitParams{.transport = UnixSocket{"/tmp/s"}}` |
| C++, by key | `DriverParams().insert("kvm.unix-socket", "/tmp/s")` |
| command line | `--kvm-unix-socket=/tmp/s` |
| URL | `vmi://kvm/?unix-socket=/tmp/s`, key whole or relative to the driver, percent-encoded |
| environment | `MICROVMI_PARAM_KVM_UNIX_SOCKET=/tmp/s` |
| TOML file | `[kvm]` and below it `unix-socket = "/tmp/s"` |
| C, Python | `"kvm.unix-socket=/tmp/s"`, `Vm(kvm_unix_socket="/tmp/s")` |

`-`, `_` and `.` are one character when a key is looked up. Where several sources set one
parameter the strongest is heard: program code, command line, URL, environment, file, default. The
same goes for the alternatives of a choice. A driver's own key wins over the common one, unless the
common one is of a stronger source; a `pid` of a stronger source leaves `xen` and `kvm` out.

How values are written:

- integer: decimal, or hex with `0x`.
- size: an integer and `K`, `M`, `G` or `T` (powers of 1024; `KiB` to `TiB` and small letters too).
- duration: an integer and `ms`, `s`, `min` or `h`.
- flag: `yes`, `true`, `1` or nothing; `no`, `false`, `0`.

`memflow.connector-args` takes a connector's arguments as the Rust library and memflow write them:
repeated `key=value`, or one text `target:key=value,key=value`. A value that holds a separator
stands in quotes. There, `map_base` and `map_size` are hex without `0x`, as memflow has them. The
connector is the one that `memflow.connector` names, or else the only one that knows them all.

)";

}  // namespace

std::string init_args_page() {
  std::string out = kHead;
  const auto rows = every_init_arg();
  out += param::markdown(rows);
  return out;
}

}  // namespace microvmi
