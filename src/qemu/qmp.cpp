// SPDX-License-Identifier: Apache-2.0
// One command or many: the waiting is in qmp_run.cpp, the conversation in qmp_session.cpp.
#include "qemu/qmp.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "qemu/qmp_link.hpp"

namespace microvmi::qemu {
namespace {

// Connections at once; each needs a descriptor, of which a process may have no more than 1024.
constexpr std::size_t kAtOnce = 64;

Expected<nlohmann::json> run_plainly(QmpLink& link, bool wants_answer, const Wait& wait) {
  Errand errand{.link = &link, .wants_answer = wants_answer};
  run(std::span(&errand, 1), wait);
  return *std::move(errand.result);
}

Expected<nlohmann::json> named(const Monitor& monitor, Expected<nlohmann::json> result) {
  if (result) return result;
  return std::unexpected(about_monitor(monitor, std::move(result.error())));
}

Expected<nlohmann::json> run_one(QmpLink& link, bool wants_answer, const Wait& wait) {
  return named(link.monitor(), run_plainly(link, wants_answer, wait));
}

Expected<std::string> text_of(const Monitor& monitor, Expected<nlohmann::json> answer) {
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (!answer->is_string())
    return std::unexpected(
        about_monitor(monitor, {Errc::protocol, "the answer of the human monitor is no text"}));
  return std::move(answer->get_ref<std::string&>());
}

void ask_some(std::span<const Question> questions, std::chrono::milliseconds each, const Wait& wait,
              std::vector<Expected<nlohmann::json>>& answers) {
  std::deque<QmpLink> links;
  std::vector<Errand> errands;
  for (const Question& question : questions) {
    QmpLink& link = links.emplace_back(question.monitor, QmpLink::Care::quick);
    link.session().send(question.command);
    errands.push_back({.link = &link, .deadline = Wait::at_most(each).deadline});
  }
  run(errands, wait);
  for (Errand& errand : errands)
    answers.push_back(named(errand.link->monitor(), *std::move(errand.result)));
}

}  // namespace

Error about_monitor(const Monitor& monitor, Error error) {
  error.message = fmt::format("monitor {} of process {}: {}", to_text(monitor.endpoint),
                              monitor.pid, error.message);
  return error;
}

Qmp::Qmp(std::unique_ptr<QmpLink> link) : link_(std::move(link)) {}
Qmp::Qmp(Qmp&&) noexcept = default;
Qmp& Qmp::operator=(Qmp&&) noexcept = default;
Qmp::~Qmp() = default;

Expected<Qmp> Qmp::connect(const Monitor& monitor, const Wait& wait) {
  auto link = std::make_unique<QmpLink>(monitor, QmpLink::Care::look_for_holder);
  if (auto done = run_one(*link, false, wait); !done)
    return std::unexpected(std::move(done.error()));
  return Qmp(std::move(link));
}

Expected<nlohmann::json> Qmp::execute(const Command& command, const Wait& wait) {
  link_->session().send(command);
  return run_one(*link_, true, wait);
}

Expected<std::string> Qmp::human(std::string_view line, const Wait& wait) {
  return text_of(link_->monitor(), execute(human_command(line), wait));
}

Expected<nlohmann::json> ask_plainly(const Monitor& monitor, const Command& command,
                                     const Wait& wait) {
  QmpLink link(monitor, QmpLink::Care::look_for_holder);
  link.session().send(command);
  return run_plainly(link, true, wait);
}

Expected<nlohmann::json> ask(const Monitor& monitor, const Command& command, const Wait& wait) {
  return named(monitor, ask_plainly(monitor, command, wait));
}

Expected<std::string> ask_human(const Monitor& monitor, std::string_view line, const Wait& wait) {
  return text_of(monitor, ask(monitor, human_command(line), wait));
}

std::vector<Expected<nlohmann::json>> ask_all(std::span<const Question> questions,
                                              std::chrono::milliseconds each, const Wait& wait) {
  std::vector<Expected<nlohmann::json>> answers;
  answers.reserve(questions.size());
  while (!questions.empty()) {
    const std::size_t count = std::min(questions.size(), kAtOnce);
    ask_some(questions.first(count), each, wait, answers);
    questions = questions.subspan(count);
  }
  return answers;
}

}  // namespace microvmi::qemu
