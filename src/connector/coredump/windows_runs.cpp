// SPDX-License-Identifier: Apache-2.0
// Runs of the header (type 1), bitmaps (2, 5, 6) and RDMP lists (8, 9, 10). Every page is behind
// the one before it, so that one count is enough to place them.
#include "connector/coredump/windows_runs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "connector/coredump/bitmap_memory.hpp"
#include "connector/coredump/fields.hpp"
#include "connector/coredump/pieces.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint64_t kMostFrames = 1ULL << 40;  // 52 bits of physical address
constexpr std::uint64_t kMostBits = 1ULL << 34;    // 64 TiB, more than any Windows takes
constexpr std::size_t kBytesPerLook = 64 << 10;    // of a list, between looks at the clock
constexpr std::uint32_t kFiller = 0x45474150;      // "PAGE", where nothing was written

std::unexpected<Error> wrong_runs(const Source& source, const std::string& what) {
  return fail(Errc::protocol, source.name() + " is no proper crash dump: " + what);
}

std::unexpected<Error> runs_cut_off(const Source& source, const char* before) {
  return fail(Errc::io, fmt::format("{} is cut off before its {} ({} bytes are there)",
                                    source.name(), before, source.size()));
}

void tell_count(const Source& source, std::uint64_t promised, std::uint64_t found) {
  if (promised != found)
    source.log(fmt::format("says that it has {} pages, and lists {}", promised, found));
}

// Places pages one behind the other.
class Placer {
 public:
  Placer(const Source& source, std::uint64_t data) : source_(source), at_(data) {}

  Expected<void> add(std::uint64_t frame, std::uint64_t pages) {
    if (frame >= kMostFrames || pages > kMostFrames - frame)
      return wrong_runs(source_, fmt::format("it has {:#x} pages from frame {:#x}", pages, frame));
    const Extent wanted{frame * kPageSize, pages * kPageSize, at_};
    if (!pieces_.add(wanted, source_.size())) return bad_piece(source_, wanted);
    at_ += wanted.size;
    pages_ += pages;
    return {};
  }

  [[nodiscard]] std::uint64_t pages() const { return pages_; }
  [[nodiscard]] Pieces take() { return std::move(pieces_); }

  void compare(std::uint64_t promised) const { tell_count(source_, promised, pages_); }

 private:
  const Source& source_;
  Pieces pieces_;
  std::uint64_t at_;
  std::uint64_t pages_ = 0;
};

Expected<Pieces> full(const Source& source, const WindowsHeader& header) {
  if (!header.run_count || *header.run_count != header.runs.size())
    return wrong_runs(source, header.run_count
                                  ? fmt::format("its header says {} runs of memory; {} fit into it",
                                                *header.run_count, header.runs.size())
                                  : "its header has no list of the memory");
  Placer placer(source, header.size());
  for (const WindowsRun& run : header.runs)
    if (auto done = placer.add(run.frame, run.pages); !done)
      return std::unexpected(std::move(done.error()));
  placer.compare(header.page_count);
  return placer.take();
}

struct Bitmap {
  std::uint64_t at = 0;    // in the file
  std::uint64_t bits = 0;  // highest frame + 1
  std::uint64_t data = 0;  // of the first page
  std::uint64_t pages = 0;
};

Expected<void> bitmap(Image& image, const Source& source, const Bitmap& map) {
  if (map.bits == 0 || map.bits > kMostBits)
    return wrong_runs(source, fmt::format("its bitmap has {:#x} bits", map.bits));
  if (map.at + (map.bits + 7) / 8 > map.data)
    return wrong_runs(
        source, fmt::format("its first page is at {:#x}, within its bitmap of {:#x} bits", map.data,
                            map.bits));
  const auto bytes = Bytes::open(source.file, source.name(), source.options.wait);
  if (!bytes) return std::unexpected(bytes.error());
  auto index = PageIndex::read(*bytes, source.name(), map.at, map.bits, source.options.wait);
  if (!index) return std::unexpected(std::move(index.error()));
  tell_count(source, map.pages, index->total());
  if (index->runs() > kMostExtents)
    return fail(Errc::not_supported, fmt::format("{} has its memory in more than {} pieces",
                                                 source.name(), kMostExtents));
  if (index->total() == 0) return fail(Errc::protocol, source.name() + " has no memory in it");
  auto memory = std::make_unique<BitmapMemory>(source.file, *std::move(index), map.data);
  if (memory->map()->regions.empty())
    return fail(Errc::io, source.name() + " is cut off before its first page");
  tell_missing(image, source, memory->missing(), memory->first_missing());
  image.memory = std::move(memory);
  return {};
}

// Types 5 and 6.
Expected<void> new_bitmap(Image& image, const Source& source, const WindowsHeader& header) {
  std::array<std::byte, 0x38> bytes{};
  if (!source.copy(header.size(), bytes)) return runs_cut_off(source, "bitmap");
  const Fields head(bytes);
  const std::string_view magic = head.text(0, 8);
  if (magic != "SDMPDUMP" && magic != "FDMPDUMP")
    return wrong_runs(source, "it has neither SDMPDUMP nor FDMPDUMP behind its header");
  return bitmap(image, source,
                {header.size() + bytes.size(), head.get<std::uint64_t>(0x30),
                 head.get<std::uint64_t>(0x20), head.get<std::uint64_t>(0x28)});
}

// Type 2: SUMMARY_DUMP32 and SUMMARY_DUMP64, whose RTL_BITMAP begins at 0x18.
Expected<void> summary(Image& image, const Source& source, const WindowsHeader& header) {
  std::array<std::byte, 0x28> bytes{};
  if (!source.copy(header.size(), bytes)) return runs_cut_off(source, "bitmap");
  const Fields head(bytes);
  if (head.text(0, 8) != "SDMPDUMP")
    return wrong_runs(source, "it has no SDMPDUMP behind its header");
  const std::uint64_t map_at = header.bits == 64 ? 0x28 : 0x20;
  return bitmap(image, source,
                {header.size() + map_at, head.get<std::uint32_t>(0x18),
                 head.get<std::uint32_t>(0x0C), head.get<std::uint32_t>(0x14)});
}

// Pairs of frame and count, up to a frame of 0 that is not the first.
Expected<void> read_list(const Source& source, std::uint64_t at, std::uint64_t end,
                         std::uint64_t count, Placer& placer) {
  std::array<std::uint64_t, 2> pair{};
  for (std::uint64_t i = 0; i < count && at + sizeof(pair) <= end; ++i, at += sizeof(pair)) {
    if (i % (kBytesPerLook / sizeof(pair)) == 0)
      if (const Errc over = source.options.wait.over(); over != Errc::none)
        return fail(over, "the runs of " + source.name() + " were not read in time");
    if (!source.get(at, pair)) return runs_cut_off(source, "list's end");
    if (pair[0] == 0 && (i != 0 || pair[1] == 0)) break;
    if (auto done = placer.add(pair[0], pair[1]); !done) return done;
  }
  return {};
}

// Types 8, 9 and 10.
Expected<Pieces> runs(const Source& source, const WindowsHeader& header) {
  constexpr std::size_t kHead = 0x30;
  std::array<std::byte, kHead> bytes{};
  if (!source.copy(header.size(), bytes)) return runs_cut_off(source, "list of runs");
  const Fields head(bytes);
  if (head.text(4, 8) != "RDMPDUMP")
    return wrong_runs(source, "it has no RDMPDUMP behind its header");
  const auto size = head.get<std::uint64_t>(0x10);  // from the marker on, without what is before it
  const auto data = head.get<std::uint64_t>(0x18);
  if (data < header.size() + kHead || size < 0x20 || size - 0x20 != data - (header.size() + 0x40))
    return wrong_runs(
        source, fmt::format("its list of runs has {:#x} bytes and ends at {:#x}", size, data));
  const bool is_complete = header.type == 10;
  const std::uint64_t promised = is_complete ? head.get<std::uint64_t>(0x28) : 0;
  const std::uint64_t count = is_complete ? head.get<std::uint32_t>(0x20) : ~std::uint64_t{0};
  Placer placer(source, data);
  if (auto done = read_list(source, header.size() + kHead, data, count, placer); !done)
    return std::unexpected(std::move(done.error()));
  if (is_complete) placer.compare(promised);
  return placer.take();
}

Expected<void> finish(Expected<Pieces> pieces, Image& image, const Source& source) {
  if (!pieces) return std::unexpected(std::move(pieces.error()));
  return (*std::move(pieces)).finish(image, source);
}

}  // namespace

Expected<void> place_windows_pages(Image& image, const Source& source,
                                   const WindowsHeader& header) {
  switch (header.type) {
    case 1:
    case kFiller:  // as some 32-bit writers leave it
      return finish(full(source, header), image, source);
    case 2:
      return summary(image, source, header);
    case 5:
    case 6:
      return new_bitmap(image, source, header);
    case 8:
    case 9:
    case 10:
      return finish(runs(source, header), image, source);
    case 4:
      return fail(Errc::not_supported,
                  source.name() +
                      " is a triage dump (small memory dump), which has pieces of "
                      "virtual memory and no physical memory",
                  {}, "open it with WinDbg or rizin; a kernel or complete dump can be read here");
    default:
      return fail(Errc::not_supported,
                  fmt::format("{} is a crash dump of type {}; 1, 2, 5, 6, 8, 9 and 10 are read",
                              source.name(), header.type),
                  {}, "WinDbg may open it");
  }
}

}  // namespace microvmi::coredump_connector
