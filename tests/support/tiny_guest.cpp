// SPDX-License-Identifier: Apache-2.0
// Booting the tiny guest and reading what it prints, by tests/guest/tiny/README.md alone.
#include "support/tiny_guest.hpp"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <sstream>
#include <thread>
#include <utility>

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;
using Numbers = std::vector<std::uint64_t>;

std::string hex(std::uint64_t value) {
  std::ostringstream out;
  out << std::hex << "0x" << value;
  return out.str();
}

Numbers numbers_of(std::istringstream& line, std::size_t count) {
  Numbers numbers;
  for (std::string word; line >> word;) numbers.push_back(std::strtoull(word.c_str(), nullptr, 0));
  numbers.resize(count);
  return numbers;
}

TinyStamped stamped_of(const Numbers& n) {
  return {.gpa = n[0], .size = n[1], .pages = n[2], .sum = n[3]};
}

void take_line(const std::string& text, TinyTruth& truth) {
  std::istringstream line(text);
  std::string kind;
  line >> kind;
  if (kind == "reg") {
    std::string name;
    line >> name;
    truth.registers[name] = numbers_of(line, 1)[0];
    return;
  }
  const Numbers n = numbers_of(line, 4);
  if (kind == "seed") truth.seed = n[0];
  if (kind == "stride") truth.stride = n[0];
  if (kind == "image") truth.image = {n[0], n[1], 0};
  if (kind == "map") truth.map.push_back({n[0], n[1], n[2]});
  if (kind == "stamped") truth.stamped.push_back(stamped_of(n));
  if (kind == "counter") truth.counter = n[0];
  if (kind == "text") truth.text = n[0];
  if (kind == "loop") std::tie(truth.loop_start, truth.loop_end) = std::pair(n[0], n[1]);
  if (kind == "hotloop") std::tie(truth.hot_point, truth.hot_counts) = std::pair(n[0], n[1]);
  if (kind == "va") truth.mappings.push_back({n[0], n[1], n[2]});
}

}  // namespace

std::string why_no_tiny_guest() {
  return ::access(MICROVMI_TINY_GUEST, R_OK) == 0 ? "" : "the tiny guest is not built on this host";
}

Outcome<std::unique_ptr<TinyGuest>> TinyGuest::boot(QemuOptions options, TinyOptions tiny) {
  options.kernel = MICROVMI_TINY_GUEST;
  options.args.insert(
      options.args.end(),
      {"-append", "seed=" + hex(tiny.seed) + " stride=" + std::to_string(tiny.stride)});
  auto qemu = QemuGuest::start(std::move(options));
  if (!qemu) return std::unexpected(qemu.error());
  std::unique_ptr<TinyGuest> guest(new TinyGuest(*std::move(qemu), tiny));
  if (auto ready = guest->qemu_->wait_for_line("^ready$", tiny.patience); !ready)
    return std::unexpected(ready.error());
  for (const std::string& line : guest->qemu_->serial_lines()) take_line(line, guest->truth_);
  return guest;
}

std::vector<std::uint64_t> TinyGuest::stamped_pages(const TinyStamped& range) const {
  std::vector<std::uint64_t> pages;
  const std::uint64_t end = range.gpa + range.size;
  const std::uint64_t image_end = truth_.image.gpa + truth_.image.size;
  for (std::uint64_t page = range.gpa; page < end; page += sizeof(Page)) {
    const bool is_edge = page == range.gpa || page + sizeof(Page) == end;
    const bool is_own = page + sizeof(Page) > truth_.image.gpa && page < image_end;
    if (!is_own && (is_edge || (page / sizeof(Page)) % tiny_.stride == 0)) pages.push_back(page);
  }
  return pages;
}

std::uint64_t TinyGuest::word_at(std::uint64_t gpa) const {
  const std::uint64_t mixed = (gpa ^ tiny_.seed) * 0x9E3779B97F4A7C15ULL;
  return mixed ^ (mixed >> 32);
}

Page TinyGuest::page_at(std::uint64_t gpa) const {
  Page page;
  for (std::uint64_t at = 0; at < sizeof(Page); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = word_at(gpa + at);
    std::memcpy(page.data() + at, &word, sizeof(word));
  }
  return page;
}

Outcome<std::vector<std::uint64_t>> TinyGuest::ask(const std::string& command, std::uint64_t gpa,
                                                   std::uint64_t size) {
  const auto before = qemu_->serial_lines().size();
  if (auto done = qemu_->type(command + " " + hex(gpa) + " " + hex(size) + "\n"); !done)
    return std::unexpected(done.error());
  for (const auto deadline = std::chrono::steady_clock::now() + tiny_.patience;
       std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(2ms)) {
    const auto lines = qemu_->serial_lines();
    if (lines.size() == before) continue;
    std::istringstream line(lines[before]);
    std::string kind;
    line >> kind;
    if (!command.starts_with(kind) && !kind.starts_with(command))
      return std::unexpected("the guest answered: " + lines[before]);
    return numbers_of(line, 4);
  }
  return std::unexpected("the guest did not answer to " + command);
}

Outcome<TinyStamped> TinyGuest::stamp(std::uint64_t gpa, std::uint64_t size) {
  const auto answer = ask("stamp", gpa, size);
  if (!answer) return std::unexpected(answer.error());
  return stamped_of(*answer);
}

Outcome<std::uint64_t> TinyGuest::sum(std::uint64_t gpa, std::uint64_t size) {
  const auto answer = ask("sum", gpa, size);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)[2];
}

Outcome<std::uint64_t> TinyGuest::peek(std::uint64_t gpa) {
  const auto answer = ask("peek", gpa, 0);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)[1];
}

void TinySum::add(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const std::byte*>(bytes);
  for (std::size_t done = 0; done + sizeof(std::uint64_t) <= size; done += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, at + done, sizeof(word));
    value_ = (value_ ^ word) * 0x100000001B3ULL;
  }
}

}  // namespace microvmi::test
