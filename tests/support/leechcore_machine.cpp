// SPDX-License-Identifier: Apache-2.0
// Sparse files with a pattern at both ends of each region.
#include "support/leechcore_machine.hpp"

#include <elf.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "support/sizes.hpp"

namespace microvmi::test {
namespace {

constexpr std::uint64_t kHigh = std::uint64_t{1} << 32;
constexpr std::uint64_t kLow = 0xa0000;
constexpr std::uint64_t kFilled = 64 * kPageSize;

std::vector<char> filling(std::uint64_t gpa) {
  std::vector<char> out(kFilled);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<char>((gpa + i) * 0x9E3779B97F4A7C15ULL >> 56);
  return out;
}

template <class T>
void put(std::ostream& out, const T& header) {
  out.write(reinterpret_cast<const char*>(&header), sizeof header);
}

}  // namespace

std::filesystem::path simulated_leechcore() { return MICROVMI_SIMULATED_LEECHCORE; }
std::filesystem::path not_leechcore() { return MICROVMI_NOT_LEECHCORE; }

bool leechcore_is_real() {
  const char* named = std::getenv("MICROVMI_TEST_LEECHCORE");
  return named && *named;
}

std::filesystem::path leechcore_library() {
  return leechcore_is_real() ? std::getenv("MICROVMI_TEST_LEECHCORE") : simulated_leechcore();
}

LeechcoreMachine::LeechcoreMachine(Kind kind) : kind_(kind) {
  if (kind == Kind::raw)
    segments_ = {{0, 32 * kMiB, 0}};
  else if (kind == Kind::elf)
    segments_ = {{0, kLow, 0x1000}, {kHigh, 16 * kMiB, 0x1000 + kLow}};
  else
    segments_ = {{0, kLow, 0}, {kHigh, 16 * kMiB, kMiB}};
  write();
}

void LeechcoreMachine::write() const {
  {
    std::ofstream(path(), std::ios::binary);
  }
  std::filesystem::resize_file(path(), segments_.back().offset + segments_.back().size);
  std::fstream out(path(), std::ios::binary | std::ios::in | std::ios::out);
  if (kind_ == Kind::elf) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<Elf64_Half>(segments_.size());
    put(out, header);
    for (const Segment& one : segments_) {
      Elf64_Phdr segment{};
      segment.p_type = PT_LOAD;
      segment.p_offset = one.offset;
      segment.p_vaddr = segment.p_paddr = one.gpa;
      segment.p_filesz = segment.p_memsz = one.size;
      put(out, segment);
    }
  }
  for (const MemoryRegion& region : filled()) {
    const std::uint64_t gpa = to_integer(region.gpa);
    for (const Segment& one : segments_)
      if (gpa >= one.gpa && gpa - one.gpa < one.size)
        out.seekp(static_cast<std::streamoff>(one.offset + (gpa - one.gpa)));
    const auto bytes = filling(gpa);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  if (kind_ != Kind::live) return;
  std::ofstream map(folder() / "map.toml");
  for (const Segment& one : segments_)
    map << "[[range]]\nbase = " << one.gpa << "\nlength = " << one.size
        << "\nreal_base = " << one.offset << '\n';
}

PcileechParams LeechcoreMachine::params(const std::string& keys) const {
  PcileechParams out{.device = "file://file=" + path().string(), .library = leechcore_library()};
  if (kind_ == Kind::live) out.device += ",volatile=1";
  if (!keys.empty()) out.device += "," + keys;
  if (kind_ == Kind::live) out.memmap = folder() / "map.toml";
  return out;
}

std::vector<MemoryRegion> LeechcoreMachine::ram() const {
  std::vector<MemoryRegion> out;
  out.reserve(segments_.size());
  for (const Segment& one : segments_) out.push_back({.gpa = Gpa{one.gpa}, .size = one.size});
  return out;
}

std::vector<MemoryRegion> LeechcoreMachine::filled() const {
  std::vector<MemoryRegion> out;
  for (const Segment& one : segments_) {
    out.push_back({.gpa = Gpa{one.gpa}, .size = kFilled});
    out.push_back({.gpa = Gpa{one.gpa + one.size - kFilled}, .size = kFilled});
  }
  return out;
}

std::vector<std::byte> LeechcoreMachine::truth(Gpa gpa, std::size_t size) const {
  std::vector<std::byte> out(size);
  std::ifstream in(path(), std::ios::binary);
  for (std::size_t i = 0; i < size;) {
    const std::uint64_t at = to_integer(gpa) + i;
    for (const Segment& one : segments_) {
      if (at < one.gpa || at - one.gpa >= one.size) continue;
      const std::size_t some = std::min<std::uint64_t>(size - i, one.size - (at - one.gpa));
      in.seekg(static_cast<std::streamoff>(one.offset + (at - one.gpa)));
      in.read(reinterpret_cast<char*>(out.data()) + i, static_cast<std::streamsize>(some));
      i += some;
    }
  }
  return out;
}

void LeechcoreMachine::cut_off(std::uint64_t size) const {
  std::filesystem::resize_file(path(), size);
}

}  // namespace microvmi::test
