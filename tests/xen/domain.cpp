// SPDX-License-Identifier: Apache-2.0
// Guests by xl and by what they say on Xen's console.
#include "xen/domain.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace microvmi::test::xen {
namespace {

// Where inside.sh keeps NAME.cfg; it sets the variable.
constexpr const char* kFolder = "MICROVMI_XEN_GUESTS";
constexpr const char* kLinuxConsole = "/var/log/xen/guest-linux.log";

// From what Xen's console says, or what inside.sh has kept of it.
std::map<std::string, std::uint64_t> words_of(std::uint16_t id, const std::string& console) {
  std::map<std::string, std::uint64_t> words;
  std::istringstream lines(console);
  const std::string mark = "(d" + std::to_string(id) + ") tiny: ";
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(mark);
    if (at == std::string::npos) continue;
    std::istringstream rest(line.substr(at + mark.size()));
    std::string name;
    std::uint64_t value = 0;
    if (rest >> name >> std::hex >> value) words[name] = value;
  }
  return words;
}

}  // namespace

std::string why_no(const std::string& name) {
  if (std::getenv(kFolder) == nullptr) return "this is not the dom0 of tests/xen";
  // Such guests are never taken away, and asking takes a quarter of a second.
  static std::map<std::string, std::string> known;
  const auto [at, is_new] = known.try_emplace(name);
  if (is_new)
    if (const Ran found = shell("xl domid " + name); found.status != 0)
      at->second = name + " does not run: " + found.output;
  return at->second;
}

Ran shell(const std::string& line, int seconds) {
  Ran ran;
  const std::string limited = "{ timeout " + std::to_string(seconds) + " " + line + "; } 2>&1";
  std::FILE* const pipe = ::popen(limited.c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 4096> part{};
  for (std::size_t got = 0; (got = std::fread(part.data(), 1, part.size(), pipe)) != 0;)
    ran.output.append(part.data(), got);
  const int status = ::pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

Outcome<Domain> Domain::at(const std::string& name, std::uint16_t id) {
  auto bare = Bare::open(id);
  if (!bare) return std::unexpected(bare.error());
  return Domain(name, id, *std::move(bare));
}

Outcome<Domain> Domain::find(const std::string& name) {
  struct Known {
    std::uint16_t id;
    std::map<std::string, std::uint64_t> said;
  };
  static std::map<std::string, Known> known;
  auto found = known.find(name);
  if (found == known.end()) {
    const Ran ran = shell("xl domid " + name);
    if (ran.status != 0) return std::unexpected(ran.output);
    const auto id = static_cast<std::uint16_t>(std::stoul(ran.output));
    found =
        known
            .emplace(
                name,
                Known{id, words_of(id, shell("cat $MICROVMI_XEN_GUESTS/" + name + ".said").output)})
            .first;
  }
  auto domain = at(name, found->second.id);
  if (domain) domain->said_ = found->second.said;
  return domain;
}

Outcome<Domain> Domain::create(const std::string& name, const std::string& settings) {
  const char* const folder = std::getenv(kFolder);
  if (folder == nullptr) return std::unexpected("this is not the dom0 of tests/xen");
  const Ran made = shell(std::string("xl create ") + folder + "/tiny.cfg " + settings +
                         " 'name=\"" + name + "\"'");
  if (made.status != 0) return std::unexpected(made.output);
  const Ran ran = shell("xl domid " + name);
  if (ran.status != 0) return std::unexpected(ran.output);
  auto domain = at(name, static_cast<std::uint16_t>(std::stoul(ran.output)));
  if (!domain) return domain;
  domain->own_ = true;
  for (int i = 0; i < 300 && !domain->said_.contains("ready"); ++i) {
    domain->said_ = words_of(domain->id_, shell("xl dmesg").output);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (!domain->said_.contains("ready")) return std::unexpected(name + " says nothing");
  return domain;
}

Domain::Domain(Domain&& other) noexcept
    : name_(std::move(other.name_)),
      id_(other.id_),
      bare_(std::move(other.bare_)),
      said_(std::move(other.said_)),
      own_(std::exchange(other.own_, false)) {}

Domain::~Domain() {
  if (own_)
    static_cast<void>(shell("xl destroy " + std::to_string(id_)));  // maybe behind gtest's end
}

void Domain::destroy() {
  own_ = false;
  EXPECT_EQ(shell("xl destroy " + std::to_string(id_)).status, 0);
}

std::uint64_t Domain::said(const std::string& what) const {
  const auto found = said_.find(what);
  EXPECT_NE(found, said_.end()) << name_ << " does not say its " << what;
  return found == said_.end() ? 0 : found->second;
}

Counters Domain::counters() const {
  Counters counters{};
  const auto bytes = bare_.read(said("counters"), sizeof counters);
  EXPECT_TRUE(bytes) << bytes.error();
  if (bytes) std::memcpy(&counters, bytes->data(), sizeof counters);
  return counters;
}

bool Domain::counts_on() const {
  const std::uint64_t before = counters().ticks;
  for (int i = 0; i < 1000; ++i) {
    if (counters().ticks >= before + 2) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::vector<std::byte> Domain::stamps(std::uint64_t gpa, std::size_t size) const {
  EXPECT_TRUE(gpa >= said("stamp_start") && gpa + size <= said("stamp_end"));
  const std::uint64_t key = said("stamp_key");
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t at = gpa + i;
    bytes[i] = static_cast<std::byte>(((at & ~7ULL) ^ key) >> (at % 8 * 8));
  }
  return bytes;
}

std::uint64_t Domain::stamp(std::uint64_t gpa) const {
  std::uint64_t word = 0;
  std::memcpy(&word, stamps(gpa, sizeof word).data(), sizeof word);
  return word;
}

bool Domain::paused() const {
  // Name ID Mem VCPUs State Time; the third letter of the state.
  std::istringstream lines(shell("xl list " + std::to_string(id_)).output);
  std::string line;
  std::getline(lines, line);
  std::string word;
  for (int i = 0; i < 5; ++i) lines >> word;
  EXPECT_EQ(word.size(), 6U) << word;
  return word.size() == 6 && word[2] == 'p';
}

std::string linux_said(const std::string& what) {
  std::ifstream console(kLinuxConsole);
  const std::string mark = "guest: " + what + " ";
  for (std::string line; std::getline(console, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (const std::size_t at = line.find(mark); at != std::string::npos)
      return line.substr(at + mark.size());
  }
  ADD_FAILURE() << "the Linux guest says nothing of its " << what;
  return {};
}

}  // namespace microvmi::test::xen
