// SPDX-License-Identifier: Apache-2.0
// A view is never touched here, as what it shows may go away: it is read.
#include "dump/vmcoreinfo_search.hpp"

#include <array>
#include <vector>

#include "dump/notes.hpp"

namespace microvmi::dumper {

void VmcoreinfoSearch::look(const PhysicalMemory& memory, const Chunk& chunk) {
  if (found_ || chunk.untouched) return;
  if (chunk.view) return look_at_view(memory, chunk);
  const std::span<const std::byte> bytes = chunk.bytes();
  for (std::size_t at = 0; at + kPageSize <= bytes.size() && !found_; at += kPageSize)
    if (may_be_vmcoreinfo(bytes.subspan(at, kVmcoreinfoHead))) take(memory, chunk.piece.gpa + at);
}

void VmcoreinfoSearch::look_at_view(const PhysicalMemory& memory, const Chunk& chunk) {
  std::array<std::array<std::byte, kVmcoreinfoHead>, kChunk / kPageSize> heads;
  std::vector<ReadRequest> batch;
  batch.reserve(heads.size());
  for (std::uint64_t at = 0; at < chunk.piece.size && batch.size() < heads.size(); at += kPageSize)
    batch.push_back({.gpa = chunk.piece.gpa + at, .into = heads[batch.size()]});
  memory.read(batch);
  for (const ReadRequest& head : batch)
    if (!found_ && head.status == Errc::none && may_be_vmcoreinfo(head.into))
      take(memory, head.gpa);
}

// The note goes on into a second page where the text is longer than most are.
void VmcoreinfoSearch::take(const PhysicalMemory& memory, Gpa page) {
  std::vector<std::byte> bytes(2 * kPageSize);
  std::array batch{ReadRequest{.gpa = page, .into = bytes}};
  memory.read(batch);
  std::string text = vmcoreinfo_of(std::span(bytes).first(batch[0].done));
  if (!text.empty()) found_ = std::move(text);
}

}  // namespace microvmi::dumper
