// SPDX-License-Identifier: Apache-2.0
// Sections up to the first one of a device: from there on nothing but the description at the end
// tells how long they are.
#include "connector/coredump/stream_ram.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "connector/coredump/stream_cursor.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::size_t kMostRuns = 1 << 22;  // 160 MiB of our own memory
constexpr std::size_t kMostBlocks = 4096;
constexpr std::size_t kRecordsPerLook = 1 << 14;  // between looks at the clock

// Types of sections, migration/savevm.h (QEMU_VM_*).
constexpr std::uint8_t kEof = 0x00;
constexpr std::uint8_t kStart = 0x01;
constexpr std::uint8_t kPart = 0x02;
constexpr std::uint8_t kEnd = 0x03;
constexpr std::uint8_t kFull = 0x04;
constexpr std::uint8_t kSubsection = 0x05;
constexpr std::uint8_t kConfiguration = 0x07;
constexpr std::uint8_t kCommand = 0x08;
constexpr std::uint8_t kFooter = 0x7E;

// Flags in the low bits of a page's address, migration/ram.c (RAM_SAVE_FLAG_*).
constexpr std::uint64_t kZero = 0x02;
constexpr std::uint64_t kMemSize = 0x04;
constexpr std::uint64_t kPage = 0x08;
constexpr std::uint64_t kEos = 0x10;
constexpr std::uint64_t kContinue = 0x20;
constexpr std::uint64_t kXbzrle = 0x40;
constexpr std::uint64_t kHook = 0x80;
constexpr std::uint64_t kCompressedPage = 0x100;
constexpr std::uint64_t kMultifd = 0x200;

constexpr const char* kPlainHint =
    "migrate it again without xbzrle, compress, multifd and mapped-ram; dump-guest-memory makes an "
    "ELF core";

class RamReader {
 public:
  RamReader(const Source& source, std::uint64_t start) : source_(source), in_(source, start) {}

  Expected<StreamRam> run() {
    if (in_.take<std::uint32_t>() != 0x5145564D)
      return fail(Errc::protocol, source_.name() + " has no migration stream: QEVM is missing");
    if (const auto version = in_.take<std::uint32_t>(); version != 3)
      return fail(Errc::not_supported,
                  fmt::format("{} is a migration stream of version {}; 3 is read", source_.name(),
                              version));
    while (!done_ && !in_.over()) {
      if (auto done = look(); !done) return std::unexpected(std::move(done.error()));
      if (auto next = section(); !next) return std::unexpected(std::move(next.error()));
    }
    out_.is_cut = in_.over();
    return std::move(out_);
  }

 private:
  // At the clock, now and then.
  Expected<void> look() {
    if (++records_ % kRecordsPerLook == 0)
      if (const Errc over = source_.options.wait.over(); over != Errc::none)
        return fail(over, "the pages of " + source_.name() + " were not listed in time");
    return {};
  }

  Expected<void> section() {
    const std::uint64_t at = in_.at();
    const auto type = in_.take<std::uint8_t>();
    if (in_.over()) return {};
    switch (type) {
      case kConfiguration:
        out_.machine = in_.take_name(in_.take<std::uint32_t>());
        return {};
      case kSubsection:
        return subsection();
      case kCommand:
        in_.take<std::uint16_t>();
        in_.skip(in_.take<std::uint16_t>());
        return {};
      case kFooter:
        in_.take<std::uint32_t>();
        return {};
      case kStart:
      case kFull:
        return begin(type == kFull, at);
      case kPart:
      case kEnd:
        if (in_.take<std::uint32_t>() != ram_id_ && !in_.over())
          return strange("of another device");
        return records();
      case kEof:
        out_.devices = at;
        done_ = true;
        return {};
      default:
        return fail(Errc::protocol,
                    fmt::format("{} has a section of type {:#x} at {:#x}, which QEMU does not know",
                                source_.name(), type, at));
    }
  }

  // Of the configuration: migration/savevm.c, vmstate_configuration.
  Expected<void> subsection() {
    const std::string name = in_.take_name(in_.take<std::uint8_t>());
    in_.take<std::uint32_t>();  // its version
    if (name == "configuration/target-page-bits") {
      if (const auto bits = in_.take<std::uint32_t>(); bits != 12 && !in_.over())
        return fail(Errc::not_supported, fmt::format("{} has pages of 2^{} bytes; those of 4 KiB "
                                                     "are read",
                                                     source_.name(), bits));
    } else if (name == "configuration/capabilities") {
      return capabilities();
    } else if (name == "configuration/uuid") {
      in_.skip(16);
    } else if (!in_.over()) {
      return strange("\"" + name + "\"");
    }
    return {};
  }

  Expected<void> capabilities() {
    const auto count = in_.take<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && !in_.over(); ++i) {
      if (auto done = look(); !done) return done;
      const std::string name = in_.take_name(in_.take<std::uint8_t>());
      for (const char* other : {"x-ignore-shared", "multifd", "mapped-ram", "fixed-ram"})
        if (name == other) return other_way("was made with " + name);
    }
    return {};
  }

  Expected<void> begin(bool is_full, std::uint64_t at) {
    const auto id = in_.take<std::uint32_t>();
    const std::string name = in_.take_name(in_.take<std::uint8_t>());
    in_.take<std::uint32_t>();  // instance
    const auto version = in_.take<std::uint32_t>();
    if (in_.over()) return {};
    if (name != "ram") {
      if (!is_full || out_.blocks.empty()) return strange("\"" + name + "\"");
      out_.devices = at;
      done_ = true;
      return {};
    }
    if (version != 4)
      return fail(Errc::not_supported,
                  fmt::format("{} has RAM of version {}; 4 is read", source_.name(), version));
    ram_id_ = id;
    return records();
  }

  Expected<void> records() {
    while (!in_.over()) {
      if (auto done = look(); !done) return done;
      const auto word = in_.take<std::uint64_t>();
      const std::uint64_t flags = word % kPageSize;
      if ((flags & kEos) != 0 || in_.over()) return {};
      if (auto done = record(word - flags, flags); !done) return done;
    }
    return {};
  }

  Expected<void> record(std::uint64_t address, std::uint64_t flags) {
    if ((flags & kXbzrle) != 0) return other_way("has pages as differences (xbzrle)");
    if ((flags & kCompressedPage) != 0) return other_way("has compressed pages");
    if ((flags & kMultifd) != 0) return other_way("has its pages in other channels (multifd)");
    if ((flags & kHook) != 0) return other_way("has its pages elsewhere (rdma)");
    if ((flags & kMemSize) != 0) return list_blocks(address);
    if ((flags & (kZero | kPage)) == 0)
      return fail(Errc::protocol, fmt::format("{} has a page with flags {:#x} at {:#x}",
                                              source_.name(), flags, in_.at() - 8));
    if ((flags & kContinue) == 0)
      if (auto done = choose_block(); !done) return done;
    if (block_ >= out_.blocks.size())
      return in_.over() ? Expected<void>{} : strange("of no block of RAM");
    return page(address / kPageSize, (flags & kPage) != 0);
  }

  Expected<void> list_blocks(std::uint64_t total) {
    for (std::uint64_t left = total; left != 0 && !in_.over();) {
      const std::string name = in_.take_name(in_.take<std::uint8_t>());
      const auto size = in_.take<std::uint64_t>();
      if (in_.over()) return {};
      if (size > left || size == 0 || out_.blocks.size() == kMostBlocks)
        return fail(Errc::protocol, fmt::format("{} says that \"{}\" has {:#x} of {:#x} bytes",
                                                source_.name(), name, size, left));
      left -= size;
      out_.blocks.push_back({name, size});
    }
    return {};
  }

  Expected<void> choose_block() {
    const std::string name = in_.take_name(in_.take<std::uint8_t>());
    if (in_.over()) return {};
    const auto found = std::ranges::find(out_.blocks, name, &StreamBlock::name);
    if (found == out_.blocks.end()) return strange("of the unknown block \"" + name + "\"");
    block_ = static_cast<std::uint32_t>(found - out_.blocks.begin());
    return {};
  }

  Expected<void> page(std::uint64_t index, bool has_bytes) {
    StreamRun one{.page = index, .offset = in_.at(), .block = block_, .count = 1};
    if (index >= (out_.blocks[block_].size + kPageSize - 1) / kPageSize)
      return fail(Errc::protocol,
                  fmt::format("{} has page {:#x} of \"{}\", which has {:#x} bytes", source_.name(),
                              index, out_.blocks[block_].name, out_.blocks[block_].size));
    if (has_bytes) {
      one.stride = kPageSize;
      in_.skip(kPageSize);
    } else {
      one.fill = in_.take<std::uint8_t>();
    }
    if (in_.over() || (!out_.runs.empty() && join(out_.runs.back(), one))) return {};
    if (out_.runs.size() == kMostRuns)
      return fail(Errc::not_supported,
                  fmt::format("{} has its pages in more than {} runs", source_.name(), kMostRuns));
    out_.runs.push_back(one);
    return {};
  }

  static bool join(StreamRun& last, const StreamRun& one) {
    constexpr std::uint32_t kMost = 1 << 30;
    if (last.block != one.block || last.page + last.count != one.page || last.count == kMost ||
        (last.stride == 0) != (one.stride == 0))
      return false;
    if (one.stride == 0) {
      if (last.fill != one.fill) return false;
    } else {
      const std::uint64_t step = one.offset - (last.offset + last.stride * (last.count - 1ULL));
      if (last.count == 1 && step < 2 * kPageSize) last.stride = static_cast<std::uint32_t>(step);
      if (step != last.stride) return false;
    }
    ++last.count;
    return true;
  }

  [[nodiscard]] std::unexpected<Error> other_way(const std::string& what) const {
    return fail(Errc::not_supported, source_.name() + " is a migration stream that " + what, {},
                kPlainHint);
  }
  [[nodiscard]] std::unexpected<Error> strange(const std::string& what) const {
    return fail(
        Errc::not_supported,
        fmt::format("{} has a section {} at {:#x} between its pages, whose length only QEMU "
                    "knows",
                    source_.name(), what, in_.at()),
        {}, kPlainHint);
  }

  const Source& source_;
  StreamCursor in_;
  StreamRam out_;
  std::uint32_t ram_id_ = ~std::uint32_t{0};
  std::uint32_t block_ = ~std::uint32_t{0};
  std::size_t records_ = 0;
  bool done_ = false;
};

}  // namespace

Expected<StreamRam> read_stream_ram(const Source& source, std::uint64_t start) {
  return RamReader(source, start).run();
}

}  // namespace microvmi::coredump_connector
