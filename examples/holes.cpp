// SPDX-License-Identifier: Apache-2.0
// Says where the guest has memory and where it has none: holes memflow.coredump.filepath=ram.elf
#include <cstdio>

#include "microvmi/microvmi.hpp"

int main(int argc, char** argv) {
  const auto settings = microvmi::param::split(argc > 1 ? argv[1] : "");
  if (!settings) return std::fprintf(stderr, "%s\n", to_text(settings.error()).c_str()), 2;
  auto vm = microvmi::init({}, microvmi::DriverParams(*settings));
  if (!vm) return std::fprintf(stderr, "%s\n", to_text(vm.error()).c_str()), 1;
  microvmi::Gpa free{};
  for (const auto& region : vm->memory().map()->regions) {
    if (region.gpa != free) std::printf("hole %#llx\n", to_integer(free) + 0ULL);
    std::printf("%s %#llx %llu\n", region.kind == microvmi::MemoryRegion::Kind::ram ? "ram" : "rom",
                to_integer(region.gpa) + 0ULL, region.size + 0ULL);
    free = region.end();
  }
}
