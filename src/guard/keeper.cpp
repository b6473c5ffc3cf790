// SPDX-License-Identifier: Apache-2.0
// The program's side of a guarded gdb stub.
#include "guard/keeper.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace microvmi::guard {

Expected<std::unique_ptr<Keeper>> Keeper::start(const GuardOptions& options,
                                                const qemu::StubPlan& plan) {
  auto channel = launch(options);
  if (!channel) return std::unexpected(std::move(channel.error()));
  std::unique_ptr<Keeper> out(new Keeper(*std::move(channel), options.timeout));
  if (auto done = out->change(plan); !done) return std::unexpected(std::move(done.error()));
  return out;
}

Expected<void> Keeper::change(const qemu::StubPlan& plan) {
  Message message{"keep"};
  std::ranges::move(qemu::to_words(plan), std::back_inserter(message));
  return tell(message);
}

Expected<void> Keeper::tell(const Message& message) {
  if (auto sent = channel_.send(message); !sent) return sent;
  const auto answer = channel_.receive(Wait::at_most(timeout_));
  if (!answer) return std::unexpected(answer.error());
  if (!answer->empty() && answer->front() == "ok") return {};
  return fail(Errc::protocol, "guard process: nonsense");
}

Keeper::~Keeper() {
  if (leaves_) return;
  static_cast<void>(tell({"forget"}).has_value());
  channel_.finish();
  const Wait wait = Wait::at_most(timeout_);
  while (channel_.receive(wait)) continue;
}

}  // namespace microvmi::guard
