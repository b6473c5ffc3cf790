// SPDX-License-Identifier: Apache-2.0
// The stand-in's files: raw, and ELF cores of 64 bit.
#include "machine.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace microvmi::test::leechcore {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLeastFile = 16 << 20;  // LeechCore opens no smaller one

}  // namespace

Machine::Machine(const char* device) {
  const std::string_view all = device;
  const std::string_view rest = all.starts_with("file://") ? all.substr(7) : all;
  if (rest.data() == all.data() || !rest.contains('=')) {
    keys_["file"] = rest;
    return;
  }
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t end = std::min(rest.find_first_of(",;", at), rest.size());
    const std::string_view one = rest.substr(at, end - at);
    if (const std::size_t equals = one.find('='); equals != std::string_view::npos)
      keys_[std::string(one.substr(0, equals))] = one.substr(equals + 1);
    at = end + 1;
  }
}

Machine::~Machine() {
  if (file_ >= 0) ::close(file_);
}

std::string Machine::text(const char* key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? std::string() : found->second;
}

bool Machine::flag(const char* key) const { return text(key) == "1"; }

void Machine::reach(const char* when) const {
  if (text("print") == when) {
    std::printf("DEVICE: about to %s\n", when);
    std::fprintf(stderr, "a driver's own \x1b[31mwords\n");
  }
  if (text("flood") == when)
    for (int i = 0; i < 20'000; ++i) std::printf("line %d of what nobody wants to read\n", i);
  if (text("hang") == when)
    while (true) ::pause();
  if (text("exit") == when) std::exit(3);
  if (text("crash") == when) std::raise(SIGSEGV);
}

// Both ways to a terminal.
bool Machine::may_go_on() const {
  if (!flag("ask")) return true;
  std::printf("The device's configuration differs. Change it? [Y/n] ");
  if (const int answer = std::getchar(); answer != EOF) return true;
  const int terminal = ::open("/dev/tty", O_RDWR);
  std::printf("%s\n", terminal < 0 ? "no answer" : "there is a terminal");
  if (terminal >= 0) ::close(terminal);
  return false;
}

bool Machine::open() {
  file_ = ::open(text("file").c_str(), (flag("write") ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  struct stat status{};
  if (file_ < 0 || ::fstat(file_, &status) != 0) return false;
  size_ = static_cast<std::uint64_t>(status.st_size);
  if (size_ < kLeastFile) return false;
  if (!add_segments() && size_ % kPage == 0) add(0, size_, 0);
  return true;
}

bool Machine::add_segments() {
  Elf64_Ehdr header{};
  if (::pread(file_, &header, sizeof header, 0) != sizeof header ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    if (::pread(file_, &segment, sizeof segment, at) != sizeof segment) return true;
    if (segment.p_type == PT_LOAD) add(segment.p_paddr, segment.p_filesz, segment.p_offset);
  }
  return true;
}

void Machine::add(std::uint64_t gpa, std::uint64_t size, std::uint64_t real) {
  map_.push_back({gpa, size, real});
}

// Where nothing is known and no read above 4 GiB succeeds, LeechCore takes 4 GiB.
void Machine::make_map(std::uint64_t end) {
  if (!map_.empty()) return;
  if (end == 0) end = std::uint64_t{1} << 32;
  if (!flag("volatile")) return add(0, end, 0);
  add(0, std::min<std::uint64_t>(end, 0xa0000), 0);
  if (end > 0x100000) add(0x100000, end - 0x100000, 0x100000);
}

void Machine::take_map(const MapEntry* entries, std::size_t count) {
  map_.assign(entries, entries + count);
  for (MapEntry& one : map_) {
    if (one.real == 0) one.real = one.gpa;
    one.real &= ~(std::uint64_t{1} << 63);
  }
  if (text("map") == "drops") map_.pop_back();
}

std::vector<MapEntry> Machine::map() const {
  const std::string kind = text("map");
  std::vector<MapEntry> out = map_;
  if (kind == "overlap") out.push_back({out.back().gpa + kPage, kPage, 0});
  if (kind == "unaligned") out.push_back({end() + 0x800, kPage, 0});
  if (kind == "wraps") out.push_back({~std::uint64_t{0xfff}, 2 * kPage, 0});
  if (kind == "long")
    for (std::uint64_t i = 0; i < 100'000; ++i) out.push_back({end() + 2 * i * kPage, kPage, 0});
  if (kind == "none") out.clear();
  return out;
}

bool Machine::is_bad(std::uint64_t gpa) const {
  const std::string range = text("bad");
  if (range.empty()) return false;
  char* end = nullptr;
  const std::uint64_t first = std::strtoull(range.c_str(), &end, 16);
  const std::uint64_t last = *end == '-' ? std::strtoull(end + 1, nullptr, 16) : first + kPage - 1;
  return gpa >= first && gpa <= last;
}

const MapEntry* Machine::find(std::uint64_t gpa, std::size_t size) const {
  const auto holds = [&](const MapEntry& one) {
    return gpa >= one.gpa && gpa - one.gpa < one.size && size <= one.size - (gpa - one.gpa);
  };
  const auto found = std::ranges::find_if(map_, holds);
  return found == map_.end() || is_bad(gpa) ? nullptr : &*found;
}

bool Machine::read(std::uint64_t gpa, std::byte* into, std::size_t size) const {
  const MapEntry* entry = find(gpa, size);
  if (!entry) return false;
  const auto at = static_cast<off_t>(entry->real + (gpa - entry->gpa));
  return ::pread(file_, into, size, at) == static_cast<ssize_t>(size);
}

bool Machine::write(std::uint64_t gpa, const std::byte* from, std::size_t size) const {
  const MapEntry* entry = find(gpa, size);
  if (!entry || flag("readonly")) return false;
  const auto at = static_cast<off_t>(entry->real + (gpa - entry->gpa));
  struct stat status{};  // a device that was cut off does not grow again
  if (::fstat(file_, &status) != 0 || status.st_size < at + static_cast<off_t>(size)) return false;
  return ::pwrite(file_, from, size, at) == static_cast<ssize_t>(size);
}

}  // namespace microvmi::test::leechcore
