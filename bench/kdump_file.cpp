// SPDX-License-Identifier: Apache-2.0
// The compressors, and files of what they give.
#include "kdump_file.hpp"

#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "codec/codec.hpp"
#include "contest.hpp"
#include "microvmi/init.hpp"
#include "support/kdump_image.hpp"

namespace microvmi::bench {
namespace {

using Bytes = std::vector<std::byte>;

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

// liblzo2's, not ours: nobody else has to do with that.
bool unpack_lzo(std::span<const std::byte> in, std::span<std::byte> out) {
  lzo_uint size = out.size();
  return lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(in.data()), in.size(),
                               reinterpret_cast<unsigned char*>(out.data()), &size,
                               nullptr) == LZO_E_OK &&
         size == out.size();
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

bool is_zero(std::span<const std::byte> page) {
  return std::ranges::all_of(page, [](std::byte one) { return one == std::byte{}; });
}

}  // namespace

std::span<const PagePacker> page_packers() {
  static const std::array<PagePacker, 5> packers{
      {{"zlib", 1, codec::kZlib.compress, codec::kZlib.decompress},
       {"lzo", 2, pack_lzo, unpack_lzo},
       {"snappy", 4, pack_snappy, codec::kSnappy.decompress},
       {"zstd", 0x20, codec::kZstd.compress, codec::kZstd.decompress},
       {"none", 0, nullptr, nullptr}}};
  return packers;
}

Bytes packed_page(std::span<const std::byte> page, const PagePacker& packer) {
  Bytes packed(page.size() - 1);
  const std::size_t size = packer.pack ? packer.pack(page, packed) : 0;
  if (size != 0)
    packed.resize(size);
  else
    packed.assign(page.begin(), page.end());
  return packed;
}

Bytes kdump_of(std::span<const std::byte> memory, const PagePacker& packer) {
  test::KdumpImage image;
  image.status = packer.flag;
  image.max_mapnr = memory.size() / kPageSize;
  // Where the writer puts the first page: behind two headers, two bitmaps and all descriptors.
  const std::uint64_t bitmap = image.max_mapnr / 8 / kPageSize + 1;
  std::uint64_t at = (2 + 2 * bitmap) * kPageSize + 24 * image.max_mapnr;
  std::optional<std::uint64_t> zeros;
  for (std::uint64_t number = 0; number < image.max_mapnr; ++number) {
    const auto page = memory.subspan(number * kPageSize, kPageSize);
    test::KdumpPage& one = image.pages.emplace_back();
    one.number = number;
    one.offset = at;
    if (!is_zero(page)) {
      one.stored = packed_page(page, packer);
      one.flags = one.stored.size() < kPageSize ? packer.flag : 0;
    } else if (zeros) {
      one.offset = *zeros;
      one.size = static_cast<std::uint32_t>(kPageSize);
    } else {
      one.stored.assign(kPageSize, {});
      zeros = at;
    }
    at += one.stored.size();
  }
  return image.bytes();
}

KdumpFile::KdumpFile(std::span<const std::byte> bytes) : fd_(::memfd_create("kdump", MFD_CLOEXEC)) {
  write(bytes, 0);
}

KdumpFile::~KdumpFile() { ::close(fd_); }

void KdumpFile::write(std::span<const std::byte> bytes, std::uint64_t offset) const {
  while (!bytes.empty()) {
    const auto done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done <= 0) give_up("the image was not written");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void KdumpFile::resize(std::uint64_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) give_up("the image was not sized");
}

Vm KdumpFile::open() const {
  const CoredumpParams params{.filepath = "/proc/self/fd/" + std::to_string(fd_)};
  auto vm = init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
  if (!vm) give_up(vm.error().message);
  return *std::move(vm);
}

}  // namespace microvmi::bench
