// SPDX-License-Identifier: Apache-2.0
// The stand-in's binary interface, by the offsets that a program printed of LeechCore's header and
// apart from the header of the helper. What breaks LeechCore's rules ends it with a word.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine.hpp"

namespace {

using microvmi::test::leechcore::Machine;
using microvmi::test::leechcore::MapEntry;

template <class T>
T get(const void* from, std::size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const unsigned char*>(from) + offset, sizeof value);
  return value;
}

template <class T>
void put(void* into, std::size_t offset, T value) {
  std::memcpy(static_cast<unsigned char*>(into) + offset, &value, sizeof value);
}

[[noreturn]] void broken(const char* rule) {
  std::printf("RULE BROKEN: %s\n", rule);
  std::abort();
}

// MEM_SCATTER. A piece that is done already is left alone, and so is one at -1.
bool is_wanted(const void* piece) {
  const auto gpa = get<std::uint64_t>(piece, 8);
  if (get<std::uint32_t>(piece, 4) != 0 || gpa == ~std::uint64_t{0}) return false;
  const auto size = get<std::uint32_t>(piece, 24);
  if (get<std::uint32_t>(piece, 0) != 0xc0fe0002) broken("version of MEM_SCATTER");
  if (size < 8 || size > 4096) broken("8 to 4096 bytes");
  if (gpa % 4 != 0 || size % 4 != 0) broken("whole dwords");
  if (gpa % 4096 + size > 4096) broken("in one page");
  if (get<std::uint32_t>(piece, 28) > 10) broken("a stack that is full");
  return true;
}

template <class Way>
void for_each(std::uint32_t count, void** pieces, Way way) {
  for (std::uint32_t i = 0; i < count; ++i)
    if (is_wanted(pieces[i]))
      put<std::uint32_t>(pieces[i], 4,
                         way(get<std::uint64_t>(pieces[i], 8), get<std::byte*>(pieces[i], 16),
                             get<std::uint32_t>(pieces[i], 24))
                             ? 1
                             : 0);
}

}  // namespace

extern "C" {

// LC_CONFIG: 824 bytes.
void* LcCreateEx(void* config, void** error) {
  if (error) *error = nullptr;
  if (get<std::uint32_t>(config, 0) != 0xc0fd0002) return nullptr;
  auto* machine = new Machine(static_cast<const char*>(config) + 8);
  machine->reach("create");
  if (!machine->may_go_on() || !machine->open()) {
    if ((get<std::uint32_t>(config, 4) & 1U) != 0)
      std::printf("DEVICE: ERROR: Failed opening file: '%s'.\n", machine->text("file").c_str());
    delete machine;
    return nullptr;
  }
  machine->make_map(get<std::uint64_t>(config, 536));
  put<std::uint64_t>(config, 536, machine->end());
  put<std::uint32_t>(config, 544, machine->flag("volatile") ? 1 : 0);
  put<std::uint32_t>(config, 548, machine->flag("write") ? 1 : 0);
  put<std::uint32_t>(config, 552, 0);
  std::memcpy(static_cast<char*>(config) + 560, "file", 5);
  return machine;
}

void LcClose(void* device) {
  const auto* machine = static_cast<Machine*>(device);
  machine->reach("close");
  if (machine->flag("mark"))
    std::fclose(std::fopen((machine->text("file") + ".closed").c_str(), "w"));
  delete machine;
}

void LcMemFree(void* memory) { std::free(memory); }

void LcReadScatter(void* device, std::uint32_t count, void** pieces) {
  const auto* machine = static_cast<Machine*>(device);
  machine->reach("read");
  for_each(count, pieces, [&](std::uint64_t gpa, std::byte* bytes, std::uint32_t size) {
    return machine->read(gpa, bytes, size);
  });
}

void LcWriteScatter(void* device, std::uint32_t count, void** pieces) {
  const auto* machine = static_cast<Machine*>(device);
  machine->reach("write");
  if (!machine->flag("write")) return;
  for_each(count, pieces, [&](std::uint64_t gpa, const std::byte* bytes, std::uint32_t size) {
    return machine->write(gpa, bytes, size);
  });
}

// Wrong in LeechCore itself: see its traps. Nobody is to call them.
int LcRead(void*, std::uint64_t, std::uint32_t, void*) { broken("LcRead is not to be used"); }
int LcWrite(void*, std::uint64_t, std::uint32_t, void*) { broken("LcWrite is not to be used"); }

int LcGetOption(void* device, std::uint64_t option, std::uint64_t* value) {
  const auto* machine = static_cast<Machine*>(device);
  const std::string version = machine->text("version");
  const std::string bitstream = machine->text("bitstream");
  switch (option) {
    case 0x4000000500000000:
      *value = version.empty() ? 2 : std::strtoull(version.c_str(), nullptr, 10);
      return 1;
    case 0x4000000600000000:
      *value = 23;
      return 1;
    case 0x4000000700000000:
      *value = 3;
      return 1;
    case 0x0300008200000000:
      *value = std::strtoull(bitstream.c_str(), nullptr, 10);
      return bitstream.empty() ? 0 : 1;
    case 0x0300008300000000:
      *value = bitstream.size() > 2 ? std::strtoull(bitstream.c_str() + 2, nullptr, 10) : 0;
      return bitstream.empty() ? 0 : 1;
    default:
      return 0;
  }
}

int LcCommand(void* device, std::uint64_t command, std::uint32_t size, const unsigned char* data,
              unsigned char** out, std::uint32_t* out_size) {
  auto* machine = static_cast<Machine*>(device);
  if (out) *out = nullptr;
  if (out_size) *out_size = 0;
  if (command == 0x4000040000000000) {
    machine->reach("map");
    const auto map = machine->map();
    const std::size_t bytes = map.size() * sizeof(MapEntry);
    *out = static_cast<unsigned char*>(std::malloc(bytes + 1));
    *out_size = static_cast<std::uint32_t>(bytes);
    if (bytes != 0) std::memcpy(*out, map.data(), bytes);
    return 1;
  }
  if (command == 0x4000050000000000) {
    machine->take_map(reinterpret_cast<const MapEntry*>(data), size / sizeof(MapEntry));
    return 1;
  }
  if (command == 0x0000010800000002) {
    std::printf("PCIe register 2:");
    for (std::uint32_t i = 0; i < size; ++i) std::printf(" %02x", data[i]);
    std::printf("\n");
    return 1;
  }
  return 0;
}

}  // extern "C"
