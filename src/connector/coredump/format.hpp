// SPDX-License-Identifier: Apache-2.0
// Format: one way in which a file holds guest memory. A new one is one class and one line of the
// list in formats.cpp.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connector/coredump/bytes.hpp"
#include "host/linux/mapped_file.hpp"
#include "microvmi/connector/coredump.hpp"
#include "microvmi/driver.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::coredump_connector {

// The file that is being opened, for formats to look at. Every look is a guarded copy.
struct Source {
  std::shared_ptr<const host::MappedFile> file;
  const CoredumpParams& params;
  const InitOptions& options;
  const Bytes* inside = nullptr;  // what the file says where it is flattened

  [[nodiscard]] std::uint64_t size() const { return inside ? inside->size() : file->size(); }
  [[nodiscard]] std::string name() const { return "'" + params.filepath->string() + "'"; }

  // False where that many bytes are not there.
  [[nodiscard]] bool copy(std::uint64_t offset, std::span<std::byte> into) const {
    return inside ? inside->copy(offset, into) : file->copy(offset, into) == into.size();
  }
  template <Plain T>
  [[nodiscard]] bool get(std::uint64_t offset, T& into) const {
    return copy(offset, std::as_writable_bytes(std::span(&into, 1)));
  }
  [[nodiscard]] bool has(std::uint64_t offset, std::string_view magic) const {
    std::string bytes(magic.size(), '\0');
    return copy(offset, std::as_writable_bytes(std::span(bytes))) && bytes == magic;
  }

  void log(const std::string& line) const {
    if (options.log) options.log("coredump: " + name() + " " + line);
  }
};

// What a format makes of a file: MappedMemory where the pages lie in it as they are, a memory of
// the format's own where they have to be made first; the state of each vCPU, by number, where there
// is any.
struct Image {
  std::unique_ptr<PhysicalMemory> memory;
  GuestInfo info{};
  std::vector<Registers> vcpus{};
};

class Format {
 public:
  Format() = default;
  Format(const Format&) = delete;
  Format& operator=(const Format&) = delete;
  virtual ~Format() = default;

  [[nodiscard]] virtual DumpFormat type() const = 0;
  // By what the file begins with, or else by its name.
  [[nodiscard]] virtual bool recognises(const Source& source) const = 0;
  [[nodiscard]] virtual Expected<Image> open(const Source& source) const = 0;
};

// The format that the parameters name, or else the one that recognises the file.
[[nodiscard]] Expected<const Format*> choose(const Source& source);

const Format& avml_format();
const Format& elf_format();
const Format& lime_format();
const Format& migration_format();
const Format& vmware_format();
const Format& windows_format();
const Format& kdump_format();
const Format& raw_format();

}  // namespace microvmi::coredump_connector
