// SPDX-License-Identifier: Apache-2.0
// Translation: a kept one against a fixed time, a walk against the reads that it cannot avoid.
#include <sys/mman.h>
#include <unistd.h>

#include <memory>

#include "benches.hpp"
#include "contest.hpp"
#include "microvmi/init.hpp"

namespace microvmi::bench {
namespace {

constexpr std::uint64_t kPresent = 0x7;      // and writable, and user
constexpr std::uint64_t kPages = 64 * 1024;  // 256 MiB of 4 KiB pages, from virtual 0 on
constexpr std::uint64_t kRoot = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kTables = 0x10000;
constexpr std::size_t kWalks = 4096;
constexpr double kKeptLimit = 20;  // ns: 50 million in a second

// 4-level tables: 128 tables of 512 pages below one directory.
std::vector<std::uint64_t> page_tables() {
  std::vector<std::uint64_t> words((kTables + kPages * 8) / 8);
  words[kRoot / 8] = kPdpt | kPresent;
  words[kPdpt / 8] = kPd | kPresent;
  for (std::uint64_t i = 0; i < kPages / 512; ++i)
    words[kPd / 8 + i] = (kTables + i * kPageSize) | kPresent;
  for (std::uint64_t i = 0; i < kPages; ++i)
    words[kTables / 8 + i] = (i ^ 1) * kPageSize | kPresent;
  return words;
}

// A raw image in a file without a name.
Vm open_image(const std::vector<std::uint64_t>& words) {
  const int fd = ::memfd_create("tables", MFD_CLOEXEC);
  const auto size = static_cast<ssize_t>(words.size() * sizeof(words[0]));
  if (::write(fd, words.data(), static_cast<std::size_t>(size)) != size)
    give_up("the image was not written");
  const CoredumpParams params{.filepath = "/proc/self/fd/" + std::to_string(fd),
                              .format = DumpFormat::raw};
  auto vm = init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  ::close(fd);
  if (!vm) give_up(vm.error().message);
  return *std::move(vm);
}

struct Guest {
  Guest() : vm(open_image(page_tables())) {
    for (Gva& one : places) {
      state = state * 6364136223846793005ULL + 1;
      one = Gva{(state >> 33) % kPages * kPageSize + 8};
    }
  }

  Vm vm;
  std::uint64_t state = 1;
  std::array<Gva, kWalks> places{};
};

std::uint64_t index(Gva gva, unsigned shift) { return (to_integer(gva) >> shift) % 512 * 8; }

// The four reads, each from where the one before leads.
std::uint64_t chase(const PhysicalMemory& memory, Gva gva) {
  std::uint64_t table = kRoot;
  for (const unsigned shift : {39U, 30U, 21U, 12U}) {
    const auto entry = memory.read_value<std::uint64_t>(Gpa{table + index(gva, shift)});
    if (!entry) give_up("an entry was not read");
    table = *entry & ~0xfffULL;
  }
  return table;
}

void add_walks(const std::shared_ptr<Guest>& guest) {
  const AddressSpace space{.cr3 = kRoot};
  add({.name = "translate/uncached",
       .target = 1 / 1.3,
       .operations = kWalks,
       .ours =
           [guest, space](std::size_t) {
             for (const Gva gva : guest->places) {
               const auto found = guest->vm.translate(space, gva);
               if (!found) give_up("a page was not found");
               asm volatile("" : : "r"(to_integer(found->gpa)));
             }
           },
       .limits = {[guest](std::size_t) {
         for (const Gva gva : guest->places)
           asm volatile("" : : "r"(chase(guest->vm.memory(), gva)));
       }}});
}

// Of a working set of 256 pages.
void add_kept(const std::shared_ptr<Guest>& guest) {
  constexpr std::size_t kCount = 1'000'000;
  const auto memory =
      std::make_shared<VirtualMemory>(guest->vm.memory(), AddressSpace{.cr3 = kRoot});
  add(Deadline{.name = "translate/cached/1M",
               .limit_ms = kCount * kKeptLimit / 1e6,
               .ours = [guest, memory] {
                 for (std::size_t i = 0; i < kCount; ++i) {
                   const auto found = memory->translate(Gva{i * 0x1010 % (256 * kPageSize)});
                   if (!found) give_up("a page was not found");
                   asm volatile("" : : "r"(to_integer(found->gpa)));
                 }
               }});
}

}  // namespace

void add_translate_contests() {
  const auto guest = std::make_shared<Guest>();
  add_kept(guest);
  add_walks(guest);
}

}  // namespace microvmi::bench
