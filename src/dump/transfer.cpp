// SPDX-License-Identifier: Apache-2.0
// Chunk by chunk: zeros skipped, views written from where they are, pages that are gone noted.
#include "dump/transfer.hpp"

#include <algorithm>
#include <chrono>

#include "dump/bytes.hpp"
#include "dump/read_ahead.hpp"

namespace microvmi::dumper {
namespace {

constexpr std::size_t kBlock = 16 << 10;  // this much of zeros is not written
constexpr auto kBetweenReports = std::chrono::milliseconds(100);

class Transfer {
 public:
  Transfer(const PhysicalMemory& memory, const Layout& layout, PartialFile& file,
           const DumpOptions& options, const Along& along)
      : memory_(memory), layout_(layout), file_(file), options_(options), along_(along) {}

  Outcome run() && {
    ReadAhead ahead(memory_, layout_.pieces, along_.packer == nullptr);
    if (auto started = ahead.start(); !started) out_.error = std::move(started.error());
    report();
    while (!out_.error) {
      if (const Errc over = options_.wait.over(); over != Errc::none) {
        out_.error = Error{.code = over, .message = "the dump was ended", .where = out_.reached};
        break;
      }
      Chunk* chunk = ahead.next();
      if (!chunk) break;
      if (along_.search) along_.search->look(memory_, *chunk);
      if (along_.packer)
        pack(*chunk);
      else
        store(*chunk);
      if (Wait::Clock::now() - reported_ >= kBetweenReports) report();
    }
    report();
    return std::move(out_);
  }

 private:
  void pack(Chunk& chunk) {
    if (const std::error_code why = along_.packer->store(chunk)) return not_written(chunk, why);
    note(chunk);
    if (chunk.error) out_.error = std::move(chunk.error);
  }

  void store(Chunk& chunk) {
    if (chunk.untouched) return note(chunk);  // a new file has zeros there already
    if (chunk.view) {
      const std::error_code why = file_.write(chunk.bytes(), chunk.piece.offset);
      if (why && why != std::errc::bad_address) return not_written(chunk, why);
      if (!why && is_alive(chunk)) return note(chunk);
      copy(memory_, chunk);  // tells which page it was, or that the guest is gone
      // Zeros too, over what the view may have shown of a page that is gone.
      if (const auto again = file_.write(chunk.bytes(), chunk.piece.offset))
        return not_written(chunk, again);
    } else if (const std::error_code why = write_data(chunk)) {
      return not_written(chunk, why);
    }
    note(chunk);
    if (chunk.error) out_.error = std::move(chunk.error);
  }

  // A view outlives its guest, and the file it is of: only a read tells whether what it shows is
  // still memory of a guest. The last byte is the first to go.
  [[nodiscard]] bool is_alive(const Chunk& chunk) const {
    std::byte byte{};
    return memory_.read(Gpa{to_integer(chunk.piece.end()) - 1}, std::span(&byte, 1)).has_value();
  }

  void not_written(const Chunk& chunk, std::error_code why) {
    out_.error = file_.failed("write", why);
    out_.error->where = chunk.piece.gpa;
  }

  // Runs of blocks that are not zero.
  std::error_code write_data(const Chunk& chunk) {
    const std::span<const std::byte> bytes = chunk.bytes();
    std::size_t first = 0;
    while (first < bytes.size()) {
      std::size_t last = first;
      while (last < bytes.size() && !is_zero(block(bytes, last))) last += kBlock;
      last = std::min(last, bytes.size());
      if (auto why = file_.write(bytes.subspan(first, last - first), chunk.piece.offset + first))
        return why;
      first = last;
      while (first < bytes.size() && is_zero(block(bytes, first))) first += kBlock;
    }
    return {};
  }

  static std::span<const std::byte> block(std::span<const std::byte> bytes, std::size_t at) {
    return bytes.subspan(at, std::min(bytes.size() - at, kBlock));
  }

  void note(const Chunk& chunk) {
    const Piece& whole = chunk.piece;
    std::uint64_t from = 0;
    const auto part = [&whole](std::uint64_t begin, std::uint64_t end) {
      return Piece{whole.gpa + begin, end - begin, whole.offset + begin, whole.kind};
    };
    for (const Gpa page : chunk.gone) {
      const std::uint64_t at = page - whole.gpa;
      const std::uint64_t end = std::min(at + kPageSize, whole.size);
      if (at != from) append(out_.pieces, part(from, at));
      append(out_.gone, part(at, end));
      from = end;
    }
    if (from != whole.size) append(out_.pieces, part(from, whole.size));
    out_.reached = whole.end();
    done_ += whole.size;
  }

  void report() {
    reported_ = Wait::Clock::now();
    if (options_.progress) options_.progress({done_, layout_.total, out_.reached});
  }

  const PhysicalMemory& memory_;
  const Layout& layout_;
  PartialFile& file_;
  const DumpOptions& options_;
  const Along& along_;
  Outcome out_;
  std::uint64_t done_ = 0;
  Wait::Clock::time_point reported_;
};

}  // namespace

Outcome transfer(const PhysicalMemory& memory, const Layout& layout, PartialFile& file,
                 const DumpOptions& options, const Along& along) {
  return Transfer(memory, layout, file, options, along).run();
}

}  // namespace microvmi::dumper
