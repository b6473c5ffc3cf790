// SPDX-License-Identifier: Apache-2.0
// kdump-compressed images: page by page against libkdumpfile and against the bare decompressor,
// many pages on all cores, opening.
#include <libkdumpfile/kdumpfile.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "benches.hpp"
#include "contest.hpp"
#include "kdump_file.hpp"
#include "linux_memory.hpp"
#include "support/kdump_image.hpp"

namespace microvmi::bench {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kHardSize = 64 * kMiB;
constexpr std::size_t kTurnPages = 2048;

using Bytes = std::vector<std::byte>;

// The libraries of this machine, one after the other: code and tables, no page of zeros, none like
// another. Nobody's memory is as hard to pack and unpack.
Bytes libraries() {
  Bytes out;
  std::vector<std::filesystem::path> files;
  for (const auto& each : std::filesystem::directory_iterator("/usr/lib/x86_64-linux-gnu"))
    if (each.is_regular_file() && each.path().string().contains(".so")) files.push_back(each);
  std::ranges::sort(files);
  for (const auto& file : files) {
    if (out.size() >= kHardSize) break;
    std::ifstream in(file, std::ios::binary);
    const std::size_t at = out.size();
    out.resize(at + std::filesystem::file_size(file));
    in.read(reinterpret_cast<char*>(out.data() + at),
            static_cast<std::streamsize>(out.size() - at));
  }
  if (out.size() < kHardSize) give_up("too few libraries to make an image of");
  out.resize(kHardSize);
  return out;
}

double zeros_of(const Bytes& memory) {
  const Bytes zeros(kPageSize);
  std::size_t count = 0;
  for (std::size_t at = 0; at < memory.size(); at += kPageSize)
    count += std::memcmp(memory.data() + at, zeros.data(), kPageSize) == 0 ? 1 : 0;
  return static_cast<double>(count * kPageSize) / static_cast<double>(memory.size());
}

// A Linux guest after its boot; where none can be had, the hard pages, every other one of them
// replaced by zeros.
const Bytes& usual_pages() {
  static const Bytes pages = [] {
    std::string why;
    Bytes out = linux_memory(why);
    if (out.empty()) {
      std::printf("kdump/*: no memory of a Linux guest, as %s; a mixture instead\n", why.c_str());
      out = libraries();
      for (std::size_t at = 0; at < out.size(); at += 2 * kPageSize)
        std::memset(out.data() + at, 0, kPageSize);
    }
    std::printf("kdump/*/guest: %zu MiB, %.0f%% of the pages zeros\n", out.size() / kMiB,
                100 * zeros_of(out));
    return out;
  }();
  return pages;
}

const Bytes& hard_pages() {
  static const Bytes pages = libraries();
  return pages;
}

struct Other {
  explicit Other(int fd) : context(kdump_new()) {
    if (!context || kdump_open_fd(context, fd) != KDUMP_OK) give_up("libkdumpfile: not opened");
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  ~Other() { kdump_free(context); }
  void read(std::uint64_t page, Bytes& into) const {
    std::size_t size = into.size();
    if (kdump_read(context, KDUMP_MACHPHYSADDR, page * kPageSize, into.data(), &size) != KDUMP_OK)
      give_up(kdump_get_err(context));
  }
  kdump_ctx_t* context;
};

// One file, opened by both.
struct Both {
  Both(const Bytes& truth, const PagePacker& packer)
      : pages(truth.size() / kPageSize),
        file(kdump_of(truth, packer)),
        vm(file.open()),
        other(file.fd()) {
    check(truth);
  }
  void read(std::uint64_t page, Bytes& into) const {
    if (!vm.memory().read(Gpa{page * kPageSize}, into)) give_up("a read failed");
  }
  void check(const Bytes& truth) const {
    Bytes ours(kPageSize);
    Bytes theirs(kPageSize);
    for (std::uint64_t page = 0; page < pages; page += 37) {
      read(page, ours);
      other.read(page, theirs);
      const std::byte* const same = truth.data() + page * kPageSize;
      if (ours != theirs || std::memcmp(ours.data(), same, kPageSize) != 0)
        give_up("the images differ");
    }
  }
  std::uint64_t pages;
  KdumpFile file;
  Vm vm;
  Other other;
};

// Made when it is first wanted, which no turn that counts is: a filter leaves the rest out.
class Lazy {
 public:
  Lazy(const Bytes& (*truth)(), const PagePacker& packer) : truth_(truth), packer_(packer) {}
  const Both& get() {
    if (!both_) both_.emplace(truth_(), packer_);
    return *both_;
  }

 private:
  const Bytes& (*truth_)();
  const PagePacker& packer_;
  std::optional<Both> both_{};
};
using Image = std::shared_ptr<Lazy>;

// Ours and the limit take turns: both read the same pages, as some cost more to unpack than others.
// The limit is second, and finds them in the processor's caches. Each turn takes runs of pages from
// all over the image, so that it has as many zeros, code and tables as the whole has: of pages in
// one place the median of the turns would tell of the commonest place alone.
template <class Read>
void read_turn(const Both& both, std::size_t turn, const Read& read) {
  constexpr std::uint64_t kRunPages = 16;
  constexpr std::uint64_t kRuns = kTurnPages / kRunPages;
  Bytes into(kPageSize);
  const std::uint64_t apart = both.pages / kRuns;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    const std::uint64_t first = run * apart + turn / 2 * kRunPages % apart;
    for (std::uint64_t page = first; page < first + kRunPages; ++page)
      read(page % both.pages, into);
  }
}

void read_ours(const Both& both, std::size_t turn) {
  read_turn(both, turn, [&](std::uint64_t page, Bytes& into) { both.read(page, into); });
}

void add_pages(const std::string& name, const Image& image, double target) {
  add({.name = name,
       .target = target,
       .operations = kTurnPages,
       .ours = [=](std::size_t turn) { read_ours(image->get(), turn); },
       .limits = {[=](std::size_t turn) {
         const Both& both = image->get();
         read_turn(both, turn,
                   [&](std::uint64_t page, Bytes& into) { both.other.read(page, into); });
       }}});
}

// What no reader goes without: the decompressor, from memory to memory.
void add_bare(const std::string& name, const Image& image, const PagePacker& packer) {
  const auto packed = std::make_shared<std::vector<Bytes>>();
  const auto prepare = [packed, &packer] {
    if (!packed->empty()) return;
    const Bytes& truth = hard_pages();
    for (std::size_t at = 0; at < truth.size(); at += kPageSize)
      packed->push_back(packed_page(std::span(truth).subspan(at, kPageSize), packer));
  };
  add({.name = name,
       .target = 0.9,
       .operations = kTurnPages,
       .ours = [=](std::size_t turn) { read_ours(image->get(), turn); },
       .limits = {[=, &packer](std::size_t turn) {
         prepare();
         read_turn(image->get(), turn, [&](std::uint64_t page, Bytes& into) {
           const Bytes& from = (*packed)[page];
           if (from.size() == kPageSize)
             std::memcpy(into.data(), from.data(), kPageSize);
           else if (!packer.unpack(from, into))
             give_up("a page was not unpacked");
         });
       }}});
}

void add_all_cores(const std::string& name, const Image& image) {
  if (std::thread::hardware_concurrency() < 2) return;
  const auto all = std::make_shared<Bytes>();
  add(Race{.name = name,
           .target = 1.4,
           .prepare = [=] { all->resize(image->get().pages * kPageSize); },
           .ours =
               [=] {
                 if (!image->get().vm.memory().read(Gpa{0}, *all)) give_up("a read failed");
               },
           .limit =
               [=] {
                 const Both& both = image->get();
                 for (std::uint64_t page = 0; page < both.pages; ++page)
                   if (!both.vm.memory().read(Gpa{page * kPageSize},
                                              std::span(*all).subspan(page * kPageSize, kPageSize)))
                     give_up("a read failed");
               },
           .finish = [=] { *all = {}; }});
}

void put_big_endian(Bytes& to, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    to.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

// 5 GiB of pages: those of the plain file are not there, as opening does not look at them.
void add_opening() {
  constexpr std::uint64_t kLarge = (5ULL << 30) / kPageSize;
  test::KdumpImage image;
  image.max_mapnr = kLarge;
  image.pages = {{.number = 0, .stored = Bytes(kPageSize)}};
  for (std::uint64_t page = 1; page < kLarge; ++page) image.beyond.push_back(page);
  const Bytes head = image.bytes();
  const auto plain = std::make_shared<KdumpFile>(head);
  plain->resize(5ULL << 30);
  add(Deadline{.name = "kdump/open5G", .limit_ms = 50, .ours = [plain] {
                 static_cast<void>(plain->open());
               }});
  // As QEMU flattens it: records of 16 KiB; their bytes are holes here.
  constexpr std::uint64_t kRecord = 16 << 10;
  Bytes start = test::flattened({{0, head}}, false);
  const auto flat = std::make_shared<KdumpFile>(start);
  std::uint64_t at = start.size();
  for (std::uint64_t place = head.size(); place < 5ULL << 30; place += kRecord) {
    Bytes record;
    put_big_endian(record, place);
    put_big_endian(record, kRecord);
    flat->write(record, at);
    at += record.size() + kRecord;
  }
  Bytes end;
  put_big_endian(end, ~std::uint64_t{0});
  put_big_endian(end, ~std::uint64_t{0});
  flat->write(end, at);
  add(Deadline{.name = "kdump/flattened/open5G", .limit_ms = 1000, .ours = [flat] {
                 static_cast<void>(flat->open());
               }});
}

// As many times as fast as libkdumpfile.
double bar_of(const PagePacker& packer) {
  switch (packer.flag) {
    case 0:
      return 8;
    case 1:
      return 2.2;
    case 2:
      return 4;
    default:
      return 5;
  }
}

}  // namespace

void add_kdump_contests() {
  for (const PagePacker& packer : page_packers()) {
    const std::string name = std::string("kdump/") + packer.name;
    const auto usual = std::make_shared<Lazy>(usual_pages, packer);
    const auto hard = std::make_shared<Lazy>(hard_pages, packer);
    add_pages(name + "/guest/4K", usual, bar_of(packer));
    // Here the decompressor is nearly all of the time, so that is what ours is held against.
    add_pages(name + "/hard/4K", hard, packer.flag == 0 ? bar_of(packer) : 0);
    if (packer.flag == 0) continue;
    add_bare(name + "/hard/of-codec", hard, packer);
    add_all_cores(name + "/all-cores", hard);
  }
  add_opening();
}

}  // namespace microvmi::bench
