// SPDX-License-Identifier: Apache-2.0
// A tool may send the simulated kernel anything: it answers or ends the connection, never with
// more than what was asked for can bring, and the same each time.
#include <cstdlib>
#include <string>

#include "support/kvmi_peer/kernel.hpp"

namespace {

using namespace microvmi::test::kvmi;

struct Answer {
  Bytes said;
  bool closed = false;
  bool operator==(const Answer&) const = default;
};

Answer talk(Dialect dialect, ByteSpan bytes, std::size_t step) {
  KernelSetup setup{.dialect = dialect};
  Guest guest(1);
  guest.add_memory(0, 4 * kPage);
  Record record;
  Kernel kernel(guest, setup, record);
  Answer out;
  while (!bytes.empty() && !kernel.closed()) {
    const ByteSpan piece = bytes.first(std::min(step, bytes.size()));
    kernel.receive(piece);
    append_bytes(out.said, kernel.take_output());
    bytes = bytes.subspan(piece.size());
  }
  out.closed = kernel.closed();
  kernel.detach();
  return out;
}

}  // namespace

// The first byte chooses the dialect, the second how the rest is cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto dialect = static_cast<Dialect>(data[0] % 3);
  const ByteSpan bytes(data + 2, size - 2);
  const std::size_t step = std::size_t{data[1]} + 1;
  const Answer once = talk(dialect, bytes, step);
  if (!(once == talk(dialect, bytes, step))) std::abort();
  // A reply is 8184 bytes at most, an event less: no command brings more than that.
  if (once.said.size() > (bytes.size() / kHeaderSize + 1) * 4 * (kMaxPayload + kHeaderSize))
    std::abort();
  return 0;
}
