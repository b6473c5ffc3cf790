// SPDX-License-Identifier: Apache-2.0
// Memory images in files, written here and not by the library's own writers.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <tuple>

#include "contract/subjects.hpp"
#include "support/elf_image.hpp"
#include "support/image_bytes.hpp"
#include "support/temp_folder.hpp"
#include "support/windows_dump.hpp"

namespace microvmi::contract {
namespace {

constexpr std::uint64_t kLowSize = 640 * 1024;
constexpr std::uint64_t kHighSize = 1ULL << 20;

std::byte byte_at(std::uint64_t gpa) {
  return static_cast<std::byte>((gpa * 0x9E3779B97F4A7C15ULL) >> 56);
}

std::vector<std::byte> bytes_at(std::uint64_t gpa, std::size_t size) {
  std::vector<std::byte> out;
  out.reserve(size);
  for (std::size_t i = 0; i < size; ++i) out.push_back(byte_at(gpa + i));
  return out;
}

void append(std::ofstream& out, std::uint64_t gpa, std::size_t size) {
  const auto bytes = bytes_at(gpa, size);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

template <class T>
void append(std::ofstream& out, const T& header) {
  out.write(reinterpret_cast<const char*>(&header), sizeof(header));
}

// As QEMU writes one: data behind the headers, at an offset that is no multiple of a page.
void write_elf(const std::filesystem::path& path) {
  std::ofstream out(path, std::ios::binary);
  Elf64_Ehdr file{};
  std::memcpy(file.e_ident, ELFMAG, SELFMAG);
  file.e_ident[EI_CLASS] = ELFCLASS64;
  file.e_ident[EI_DATA] = ELFDATA2LSB;
  file.e_ident[EI_VERSION] = EV_CURRENT;
  file.e_type = ET_CORE;
  file.e_machine = EM_X86_64;
  file.e_version = EV_CURRENT;
  file.e_phoff = sizeof(file);
  file.e_ehsize = sizeof(file);
  file.e_phentsize = sizeof(Elf64_Phdr);
  file.e_phnum = 2;
  append(out, file);
  Elf64_Phdr low{};
  low.p_type = PT_LOAD;
  low.p_offset = sizeof(file) + 2 * sizeof(low);
  low.p_filesz = low.p_memsz = kLowSize;
  append(out, low);
  Elf64_Phdr high = low;
  high.p_offset += kLowSize;
  high.p_paddr = high.p_vaddr = kHigh;
  high.p_filesz = high.p_memsz = kHighSize;
  append(out, high);
  append(out, 0, kLowSize);
  append(out, kHigh, kHighSize);
}

void write_raw(const std::filesystem::path& path) {
  std::ofstream out(path, std::ios::binary);
  append(out, 0, kLowSize);
  append(out, kHigh, kHighSize);
}

class CoredumpSubject : public Subject {
 public:
  std::expected<Vm, InitError> open() override {
    return init(DriverType::memflow,
                DriverInitParams{.memflow = MemflowInitParams{.args = args()}});
  }

  std::vector<MemoryRegion> ram() override {
    return {{.gpa = Gpa{0}, .size = kLowSize}, {.gpa = Gpa{kHigh}, .size = kHighSize}};
  }
  std::vector<MemoryRegion> still() override { return ram(); }

  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    return bytes_at(to_integer(gpa), size);
  }

  GuestInfo info() override { return {.connector = "coredump"}; }
  std::vector<Capability> must_have() override { return {Capability::memory_view}; }

  // A file that somebody cuts off.
  std::optional<Errc> die() override {
    std::filesystem::resize_file(path(), 0);
    return Errc::io;
  }

 protected:
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "guest"; }
  [[nodiscard]] virtual CoredumpParams args() const = 0;

 private:
  test::TempFolder folder_;
};

class ElfSubject final : public CoredumpSubject {
 public:
  ElfSubject() { write_elf(path()); }

 protected:
  CoredumpParams args() const override { return {.filepath = path()}; }
};

class RawSubject final : public CoredumpSubject {
 public:
  RawSubject() { write_raw(path()); }

 protected:
  CoredumpParams args() const override {
    return {.filepath = path(),
            .format = DumpFormat::raw,
            .map = {{.start = Gpa{0}, .length = kLowSize, .offset = 0},
                    {.start = Gpa{kHigh}, .length = kHighSize, .offset = kLowSize}}};
  }
};

// The others by their descriptions: LiME's records, a bitmap dump of Windows, a migration stream.
std::vector<std::byte> both() {
  auto out = bytes_at(0, kLowSize);
  const auto high = bytes_at(kHigh, kHighSize);
  out.insert(out.end(), high.begin(), high.end());
  return out;
}

class LimeSubject final : public CoredumpSubject {
 public:
  LimeSubject() {
    test::ImageBytes out;
    for (const auto& [start, size] : {std::pair{std::uint64_t{0}, kLowSize}, {kHigh, kHighSize}})
      out.text("EMiL")
          .le(1, 4)
          .le(start, 8)
          .le(start + size - 1, 8)
          .le(0, 8)
          .add(bytes_at(start, size));
    test::write_file(path(), out.bytes());
  }

 protected:
  CoredumpParams args() const override { return {.filepath = path()}; }
};

class WindowsSubject final : public CoredumpSubject {
 public:
  WindowsSubject() {
    const test::WindowsDump dump{
        .type = 5, .runs = {{0, kLowSize / kPageSize}, {kHigh / kPageSize, kHighSize / kPageSize}}};
    auto bytes = dump.image().bytes();
    const auto pages = both();
    std::ranges::copy(pages, bytes.end() - static_cast<std::ptrdiff_t>(pages.size()));
    test::write_file(path(), bytes);
  }

  GuestInfo info() override { return {.vcpus = 3, .connector = "coredump"}; }
  std::vector<Capability> must_have() override {
    return {Capability::memory_view, Capability::registers};
  }
  std::vector<std::pair<Reg, std::uint64_t>> registers() override {
    return {{Reg::cr3, 0x1AD002}, {Reg::rip, 0xFFFFF80001000000}};
  }

 protected:
  CoredumpParams args() const override { return {.filepath = path()}; }
};

// Of a q35, whose RAM goes on at 4 GiB behind the first 2 GiB, with a few of its pages.
class MigrationSubject final : public CoredumpSubject {
 public:
  MigrationSubject() {
    constexpr std::uint64_t kRam = 0xB0000000;
    constexpr std::uint64_t kSplit = 0x80000000;
    test::ImageBytes out;
    out.text("QEVM").be(3, 4).be(7, 1).be(10, 4).text("pc-q35-7.2");
    out.be(1, 1).be(2, 4).be(3, 1).text("ram").be(0, 4).be(4, 4).be(kRam | 4, 8);
    out.be(6, 1).text("pc.ram").be(kRam, 8).be(16, 8).be(3, 1).be(2, 4);
    for (const auto& [start, size, gpa] :
         {std::tuple{std::uint64_t{0}, kLowSize, std::uint64_t{0}}, {kSplit, kHighSize, kHigh}})
      for (std::uint64_t at = 0; at < size; at += kPageSize)
        out.be((start + at) | 8, 8).be(6, 1).text("pc.ram").add(bytes_at(gpa + at, kPageSize));
    out.be(16, 8).be(0, 1);
    test::write_file(path(), out.bytes());
  }

  std::vector<Capability> must_have() override { return {}; }

 protected:
  CoredumpParams args() const override { return {.filepath = path()}; }
};

template <class T>
Outcome<std::unique_ptr<Subject>> make() {
  return std::make_unique<T>();
}

}  // namespace

std::vector<SubjectKind> coredump_subjects() {
  if (!connectors()[static_cast<std::size_t>(Connector::coredump)].open) return {};
  return {{"coredump_elf", always, make<ElfSubject>},
          {"coredump_raw", always, make<RawSubject>},
          {"coredump_lime", always, make<LimeSubject>},
          {"coredump_windows", always, make<WindowsSubject>},
          {"coredump_migration", always, make<MigrationSubject>}};
}

}  // namespace microvmi::contract
