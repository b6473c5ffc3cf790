// SPDX-License-Identifier: Apache-2.0
// A monitor may say anything, cut into any pieces: it is a conversation or an error, and the cuts
// make no difference.
#include <cstdlib>
#include <vector>

#include "qemu/qmp_session.hpp"

namespace {

using microvmi::qemu::Session;

struct Outcome {
  bool ended_well = true;
  std::vector<std::string> answers;
  bool operator==(const Outcome&) const = default;
};

// The first byte is how many bytes come at a time.
Outcome talk(std::string_view text, std::size_t step) {
  Session session;
  session.send({.name = "query-status"});
  session.send(microvmi::qemu::human_command("info mtree -f"));
  Outcome out;
  while (!text.empty() && out.ended_well) {
    out.ended_well = session.receive(text.substr(0, step)).has_value();
    text.remove_prefix(std::min(step, text.size()));
    if (!session.greeted() && !session.take_output().empty()) std::abort();
  }
  while (const auto answer = session.take_answer())
    out.answers.push_back(*answer ? (*answer)->dump() : answer->error().message);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = talk(text, text.size() + 1);
  const Outcome pieces = talk(text, std::size_t{data[0]} + 1);
  // An error loses the objects that came with it in one piece, so that only the verdict is equal.
  if (whole.ended_well != pieces.ended_well) std::abort();
  if (whole.ended_well && !(whole == pieces)) std::abort();
  return 0;
}
