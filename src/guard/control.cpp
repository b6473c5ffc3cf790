// SPDX-License-Identifier: Apache-2.0
// The program's side: a request, an answer within the deadline, and what to do without one.
#include "guard/control.hpp"

#include "guard/keeper.hpp"

namespace microvmi::guard {
namespace {

// "ok", fields... or "failed", code, message, hint.
Expected<Message> result_of(Message answer) {
  if (!answer.empty() && answer[0] == "ok") return answer;
  const auto code = answer.size() == 4
                        ? param::parse_integer(answer[1], static_cast<std::uint64_t>(Errc::io))
                        : std::unexpected(std::string());
  if (!code || answer[0] != "failed") return fail(Errc::protocol, "guard process: nonsense");
  return fail(static_cast<Errc>(*code), "guard process: " + answer[2], {}, answer[3]);
}

}  // namespace

// Waits for the guard to end, so that the guest runs again when this returns.
GuardControl::~GuardControl() {
  if (!channel_) return;
  channel_->finish();
  const Wait wait = Wait::at_most(options_.timeout);
  while (channel_->receive(wait)) continue;
}

Expected<Message> GuardControl::ask(const Message& request) {
  if (!channel_) return fail(Errc::disconnected, "guard process: it is gone");
  if (auto sent = channel_->send(request); !sent) {
    if (sent.error().code == Errc::disconnected) channel_.reset();
    return std::unexpected(std::move(sent.error()));
  }
  auto answer = channel_->receive(Wait::at_most(options_.timeout));
  if (!answer) {
    // Whatever it still does, it ends once its channel is closed, and the guest runs again.
    channel_.reset();
    return std::unexpected(std::move(answer.error()));
  }
  return result_of(*std::move(answer));
}

Expected<void> GuardControl::start() {
  auto channel = launch(options_);
  if (!channel) return std::unexpected(std::move(channel.error()));
  channel_.emplace(*std::move(channel));
  Message request{"open", name_of(subject_.driver), std::to_string(options_.timeout.count()),
                  subject_.pid ? std::to_string(*subject_.pid) : ""};
  for (const param::Setting& one : subject_.params) {
    request.push_back(one.key);
    request.push_back(one.value);
  }
  auto opened = ask(request);
  if (opened) return {};
  channel_.reset();
  return std::unexpected(std::move(opened.error()));
}

bool GuardControl::by_itself() const {
  const auto* const own = dynamic_cast<const SelfGuarding*>(&own_);
  return paused_itself_ || (!paused_ && own && own->guards_itself());
}

Expected<void> GuardControl::pause() {
  if (by_itself()) {
    auto done = own_.pause();
    paused_itself_ = done.has_value();
    return done;
  }
  if (!channel_)
    if (auto started = start(); !started) return started;
  if (auto done = ask({"pause"}); !done) return std::unexpected(std::move(done.error()));
  paused_ = true;
  return {};
}

Expected<void> GuardControl::resume() {
  if (paused_itself_) {
    auto done = own_.resume();
    if (done) paused_itself_ = false;
    return done;
  }
  const auto done = ask({"resume"});
  auto result = done ? Expected<void>{} : own_.resume();
  if (result) paused_ = false;
  return result;
}

// While paused this is asked of the guard alone: its death must not go unnoticed. Before, a guard
// that died is forgotten, and the next pause starts another.
Expected<bool> GuardControl::running() {
  if (by_itself()) return own_.running();
  if (!channel_ && !paused_) return own_.running();
  const auto answer = ask({"running"});
  if (answer) return answer->size() == 2 && (*answer)[1] == "yes";
  if (!channel_ && !paused_) return own_.running();
  return std::unexpected(answer.error());
}

}  // namespace microvmi::guard
