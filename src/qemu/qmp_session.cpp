// SPDX-License-Identifier: Apache-2.0
// Greeting, negotiation, commands and their answers; events are passed over.
#include "qemu/qmp_session.hpp"

#include <fmt/format.h>

#include <utility>

namespace microvmi::qemu {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Errc code_of(std::string_view error_class) {
  if (error_class == "CommandNotFound") return Errc::not_supported;
  if (error_class == "DeviceNotFound") return Errc::not_found;
  return Errc::io;
}

std::unexpected<Error> refusal(std::string_view command, const Json& error) {
  const std::string what = error.is_object() ? text_of(error, "desc") : std::string();
  const std::string error_class = error.is_object() ? text_of(error, "class") : std::string();
  return fail(code_of(error_class), fmt::format("qemu refused {}: {:?}", command, what));
}

}  // namespace

Command human_command(std::string_view line) {
  return {.name = "human-monitor-command", .arguments = {{"command-line", line}}};
}

Expected<void> Session::receive(std::string_view bytes) {
  const auto messages = framer_.feed(bytes);
  if (!messages) return std::unexpected(messages.error());
  for (const Json& message : *messages)
    if (auto done = take(message); !done) return done;
  return {};
}

void Session::send(const Command& command) {
  write(command, next_id_++);
  asked_.push_back(command.name);
}

void Session::write(const Command& command, Id id) {
  Json message{{"execute", command.name}};
  // QEMU reads byte by byte, some microseconds each: nothing can be taken for the first answer.
  if (id != kNegotiation) message["id"] = id;
  if (!command.arguments.is_null()) message["arguments"] = command.arguments;
  // dump() would throw at text that is not UTF-8.
  output_ += message.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::string Session::take_output() {
  return greeted_ ? std::exchange(output_, std::string()) : std::string();
}

std::optional<Expected<Json>> Session::take_answer() {
  if (answers_.empty()) return std::nullopt;
  auto answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

Expected<void> Session::take(const Json& message) {
  if (!greeted_) return take_greeting(message);
  return message.contains("event") ? Expected<void>{} : take_reply(message);
}

Expected<void> Session::take_greeting(const Json& message) {
  const auto found = message.find("QMP");
  if (found == message.end() || !found->is_object())
    return fail(Errc::protocol, "the first message is no QMP greeting");
  greeted_ = true;
  const std::string commands = std::exchange(output_, std::string());
  write({.name = "qmp_capabilities"}, kNegotiation);
  output_ += commands;
  return {};
}

bool Session::is_awaited(const Json* id) const {
  if (expected_ == kNegotiation) return id == nullptr;
  return !asked_.empty() && id && id->is_number_unsigned() && id->get<std::uint64_t>() == expected_;
}

Expected<void> Session::take_reply(const Json& message) {
  const auto id = message.find("id");
  const auto result = message.find("return");
  const auto error = message.find("error");
  const bool either = (result == message.end()) != (error == message.end());
  if (!either) return fail(Errc::protocol, "a message that is no answer, error or event");
  if (!is_awaited(id == message.end() ? nullptr : &*id))
    return fail(Errc::protocol, "an answer to a command that was not given");
  ++expected_;
  if (expected_ == kNegotiation + 1)
    return result != message.end() ? Expected<void>{} : refusal("qmp_capabilities", *error);
  if (result != message.end())
    answers_.emplace_back(*result);
  else
    answers_.emplace_back(refusal(asked_.front(), *error));
  asked_.pop_front();
  return {};
}

}  // namespace microvmi::qemu
