// SPDX-License-Identifier: Apache-2.0
// Any argv: read, and laid out where that is possible; extents stay inside their blocks and apart.
#include <cstdlib>

#include "qemu/find.hpp"
#include "qemu/layout.hpp"

namespace qemu = microvmi::qemu;

namespace {

// As /proc/PID/cmdline has it: each word ends with a NUL.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void check(const qemu::GuestLayout& layout) {
  std::uint64_t end = 0;
  for (const qemu::Extent& one : layout.extents) {
    if (one.block >= layout.blocks.size() || one.size == 0) std::abort();
    const std::uint64_t size = layout.blocks[one.block].size;
    if (one.offset > size || one.size > size - one.offset) std::abort();
    if (one.gpa < end || one.size > ~one.gpa) std::abort();
    end = one.gpa + one.size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto argv = words_of({reinterpret_cast<const char*>(data), size});
  const qemu::CommandLine line = qemu::parse_command_line(argv);
  const std::string program = line.program;
  static_cast<void>(qemu::why_not_qemu({.program = &program, .argv = argv}, line));
  const auto machine = qemu::machine_of(line, program);
  if (!machine) return 0;
  for (const bool shadowed : {false, true}) {
    const auto layout = qemu::derive_layout(
        line, *machine, {.bios_shadowed = shadowed, .qemu_version = qemu::MachineVersion{7, 2}});
    if (layout) check(*layout);
  }
  return 0;
}
