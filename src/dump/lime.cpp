// SPDX-License-Identifier: Apache-2.0
// A record ends where memory does, or where a page of it is gone.
#include "dump/lime.hpp"

#include <array>

namespace microvmi::dumper {
namespace {

// lime.h of LiME: version 1, the last address is within the piece.
struct LimeHeader {
  std::uint32_t magic = 0x4C694D45;
  std::uint32_t version = 1;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t reserved = 0;
};
static_assert(sizeof(LimeHeader) == 32);

class LimePacker final : public Packer {
 public:
  explicit LimePacker(PartialFile& file) : file_(file) {}

  std::error_code begin(const Told&) override { return {}; }

  std::error_code store(const Chunk& chunk) override {
    std::uint64_t from = 0;
    for (const Gpa page : chunk.gone) {
      if (const auto why = add(chunk, from, page - chunk.piece.gpa)) return why;
      from = page - chunk.piece.gpa + kPageSize;
    }
    return add(chunk, from, chunk.piece.size);
  }

  std::error_code finish(const Told&) override { return {}; }
  std::uint64_t file_size() const override { return end_; }

 private:
  std::error_code add(const Chunk& chunk, std::uint64_t from, std::uint64_t to) {
    if (from >= to) return {};
    const Gpa gpa = chunk.piece.gpa + from;
    if (end_ == 0 || gpa != next_) {
      record_ = end_;
      first_ = gpa;
      end_ += sizeof(LimeHeader);
    }
    // What nobody has touched is left out: a new file has zeros there.
    if (!chunk.untouched)
      if (const auto why = file_.write(chunk.bytes().subspan(from, to - from), end_)) return why;
    end_ += to - from;
    next_ = gpa + (to - from);
    const LimeHeader header{.first = to_integer(first_), .last = to_integer(next_) - 1};
    return file_.write(std::as_bytes(std::span(&header, 1)), record_);
  }

  PartialFile& file_;
  std::uint64_t end_ = 0;
  std::uint64_t record_ = 0;  // where the last header is
  Gpa first_{};
  Gpa next_{};
};

}  // namespace

std::unique_ptr<Packer> lime_packer(PartialFile& file) {
  return std::make_unique<LimePacker>(file);
}

}  // namespace microvmi::dumper
