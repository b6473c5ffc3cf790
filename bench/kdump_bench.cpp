// SPDX-License-Identifier: Apache-2.0
// kdump-compressed images: page by page against libkdumpfile, many pages on all cores, opening.
#include <fcntl.h>
#include <libkdumpfile/kdumpfile.h>
#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "benches.hpp"
#include "codec/codec.hpp"
#include "contest.hpp"
#include "microvmi/init.hpp"
#include "support/kdump_image.hpp"

namespace microvmi::bench {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kPages = 64 * kMiB / kPageSize;
constexpr std::size_t kTurnPages = 2048;

using Bytes = std::vector<std::byte>;

// Code and data as memory has them: the libraries of this machine, one after the other.
Bytes contents() {
  Bytes out;
  std::vector<std::filesystem::path> files;
  for (const auto& each : std::filesystem::directory_iterator("/usr/lib/x86_64-linux-gnu"))
    if (each.is_regular_file() && each.path().string().contains(".so")) files.push_back(each);
  std::ranges::sort(files);
  for (const auto& file : files) {
    if (out.size() >= kPages * kPageSize) break;
    std::ifstream in(file, std::ios::binary);
    const std::size_t at = out.size();
    out.resize(at + std::filesystem::file_size(file));
    in.read(reinterpret_cast<char*>(out.data() + at),
            static_cast<std::streamsize>(out.size() - at));
  }
  if (out.size() < kPages * kPageSize) give_up("too few libraries to make an image of");
  return out;
}

std::size_t pack_lzo(std::span<const std::byte> in, std::span<std::byte> out) {
  thread_local std::vector<unsigned char> work(LZO1X_1_MEM_COMPRESS);
  std::vector<unsigned char> room(in.size() * 2);
  lzo_uint size = room.size();
  lzo1x_1_compress(reinterpret_cast<const unsigned char*>(in.data()), in.size(), room.data(), &size,
                   work.data());
  if (size > out.size()) return 0;
  std::memcpy(out.data(), room.data(), size);
  return size;
}

std::size_t pack_snappy(std::span<const std::byte> in, std::span<std::byte> out) {
  Bytes room(snappy_max_compressed_length(in.size()));
  std::size_t size = room.size();
  if (snappy_compress(reinterpret_cast<const char*>(in.data()), in.size(),
                      reinterpret_cast<char*>(room.data()), &size) != SNAPPY_OK ||
      size > out.size())
    return 0;
  std::memcpy(out.data(), room.data(), size);
  return size;
}

using Pack = std::size_t (*)(std::span<const std::byte>, std::span<std::byte>);

// A file without a name in memory.
class File {
 public:
  explicit File(const Bytes& bytes) : fd_(::memfd_create("kdump", MFD_CLOEXEC)) { write(bytes, 0); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const {
    while (!bytes.empty()) {
      const auto done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (done <= 0) give_up("the image was not written");
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      offset += static_cast<std::uint64_t>(done);
    }
  }
  void resize(std::uint64_t size) const {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) give_up("the image was not sized");
  }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] Vm open() const {
    const CoredumpParams params{.filepath = "/proc/self/fd/" + std::to_string(fd_)};
    auto vm = init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
    if (!vm) give_up(vm.error().message);
    return *std::move(vm);
  }

 private:
  int fd_;
};

test::KdumpImage image_of(const Bytes& bytes, Pack pack, std::uint32_t flag) {
  test::KdumpImage image;
  image.status = flag;
  image.max_mapnr = kPages;
  for (std::uint64_t number = 0; number < kPages; ++number) {
    const auto page = std::span(bytes).subspan(number * kPageSize, kPageSize);
    Bytes packed(kPageSize - 1);
    const std::size_t size = pack ? pack(page, packed) : 0;
    if (size != 0)
      packed.resize(size);
    else
      packed.assign(page.begin(), page.end());
    image.pages.push_back(
        {.number = number, .stored = std::move(packed), .flags = size != 0 ? flag : 0});
  }
  return image;
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

struct Both {
  explicit Both(const Bytes& bytes) : file(bytes), vm(file.open()), other(file.fd()) {}
  void read(std::uint64_t page, Bytes& into) const {
    if (!vm.memory().read(Gpa{page * kPageSize}, into)) give_up("a read failed");
  }
  File file;
  Vm vm;
  Other other;
};

void check_same(const Both& both, const Bytes& truth) {
  Bytes ours(kPageSize);
  Bytes theirs(kPageSize);
  for (std::uint64_t page = 0; page < kPages; page += 37) {
    both.read(page, ours);
    both.other.read(page, theirs);
    if (ours != theirs || std::memcmp(ours.data(), truth.data() + page * kPageSize, kPageSize) != 0)
      give_up("the images differ");
  }
}

void add_pages(const std::string& name, const Bytes& truth, Pack pack, std::uint32_t flag,
               double target) {
  const auto both = std::make_shared<const Both>(image_of(truth, pack, flag).bytes());
  check_same(*both, truth);
  const auto pages = [](std::size_t turn, const auto& read) {
    Bytes into(kPageSize);
    const std::uint64_t first = turn * kTurnPages % kPages;
    for (std::uint64_t page = first; page < first + kTurnPages; ++page) read(page, into);
  };
  add({.name = "kdump/" + name + "/4K",
       .target = target,
       .operations = kTurnPages,
       .ours =
           [=](std::size_t turn) {
             pages(turn, [&](std::uint64_t page, Bytes& into) { both->read(page, into); });
           },
       .limits = {[=](std::size_t turn) {
         pages(turn, [&](std::uint64_t page, Bytes& into) { both->other.read(page, into); });
       }}});
  if (flag == 0 || std::thread::hardware_concurrency() < 2) return;
  const auto all = std::make_shared<Bytes>(kPages * kPageSize);
  add(Race{.name = "kdump/" + name + "/all-cores",
           .target = 1.4,
           .prepare = [] {},
           .ours =
               [=] {
                 if (!both->vm.memory().read(Gpa{0}, *all)) give_up("a read failed");
               },
           .limit =
               [=] {
                 for (std::uint64_t page = 0; page < kPages; ++page)
                   if (!both->vm.memory().read(
                           Gpa{page * kPageSize},
                           std::span(*all).subspan(page * kPageSize, kPageSize)))
                     give_up("a read failed");
               },
           .finish = [] {}});
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
  const auto plain = std::make_shared<File>(head);
  plain->resize(5ULL << 30);
  add(Deadline{.name = "kdump/open5G", .limit_ms = 50, .ours = [plain] {
                 static_cast<void>(plain->open());
               }});
  // As QEMU flattens it: records of 16 KiB; their bytes are holes here.
  constexpr std::uint64_t kRecord = 16 << 10;
  Bytes start = test::flattened({{0, head}}, false);
  const auto flat = std::make_shared<File>(start);
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

}  // namespace

void add_kdump_contests() {
  const Bytes truth = contents();
  add_pages("zlib", truth, codec::kZlib.compress, 1, 2.2);
  add_pages("lzo", truth, pack_lzo, 2, 4);
  add_pages("snappy", truth, pack_snappy, 4, 5);
  add_pages("zstd", truth, codec::kZstd.compress, 0x20, 5);
  add_pages("none", truth, nullptr, 0, 8);
  add_opening();
}

}  // namespace microvmi::bench
