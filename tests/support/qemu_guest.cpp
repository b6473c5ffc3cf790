// SPDX-License-Identifier: Apache-2.0
// Starting QEMU so that nothing of it is left behind, whatever becomes of the test.
#include "support/qemu_guest.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <thread>

namespace microvmi::test {
namespace {

using namespace std::chrono_literals;

std::string doubled_commas(const std::string& text) {
  std::string out;
  for (const char c : text) out.append(c == ',' ? 2 : 1, c);
  return out;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

int make_file(const std::filesystem::path& path) {
  return ::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR);
}

// "512M,slots=2,maxmem=4G" has the size 512M.
std::string size_of(const std::string& memory) { return memory.substr(0, memory.find(',')); }

std::string object_of(const QemuOptions& options, const std::filesystem::path& folder) {
  const std::string rest = ",id=" + options.backend_id + ",size=" + size_of(options.memory);
  const std::string file =
      "memory-backend-file,mem-path=" + doubled_commas(folder / "ram") + rest + ",share=";
  switch (options.backend) {
    case RamBackend::ram:
      return "memory-backend-ram" + rest;
    case RamBackend::memfd:
      return "memory-backend-memfd,share=on" + rest;
    case RamBackend::file:
      return file + "on";
    case RamBackend::file_private:
      return file + "off";
    case RamBackend::anonymous:
    case RamBackend::mem_path:
      return {};
  }
  return {};
}

struct Child {
  pid_t parent;
  char* const* argv;
  const char* cwd;
  std::array<int, 3> standard;  // what becomes its stdin, stdout and stderr
};

// Only what may be called between fork and exec in a program with threads.
[[noreturn]] void become_qemu(const Child& child) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != child.parent) ::_exit(126);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(child.standard[static_cast<std::size_t>(fd)], fd) < 0) ::_exit(126);
  if (::chdir(child.cwd) != 0) ::_exit(126);
  ::execv(child.argv[0], child.argv);
  ::_exit(127);
}

}  // namespace

std::optional<std::filesystem::path> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path file = std::filesystem::path(folder) / name;
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return std::nullopt;
}

std::string why_no_qemu() {
  return find_program(kQemu) ? "" : std::string(kQemu) + " is not installed";
}

bool qemu_is_required() { return std::getenv("MICROVMI_REQUIRE_QEMU") != nullptr; }

const char* name_of(RamBackend backend) {
  constexpr std::array names{"anonymous", "ram", "memfd", "file", "file_private", "mem_path"};
  return names[static_cast<std::size_t>(backend)];
}

QemuGuest::QemuGuest(QemuOptions options) : options_(std::move(options)) {}

void QemuGuest::write_command_line() {
  const QemuOptions& o = options_;
  std::string machine = o.machine;
  const std::string object = object_of(o, folder());
  if (!object.empty()) machine += ",memory-backend=" + o.backend_id;
  argv_ = {(o.program.empty() ? find_program(kQemu).value_or(kQemu) : o.program).string()};
  const auto add = [&](auto&&... words) { (argv_.emplace_back(words), ...); };
  if (o.name) add("-name", *o.name);
  add(o.machine_option, machine, "-accel", o.accelerator, "-nodefaults", "-display", "none");
  add("-no-user-config");
  if (!o.memory.empty()) add("-m", o.memory);
  if (!object.empty()) add("-object", object);
  if (o.backend == RamBackend::mem_path) add("-mem-path", folder().string());
  if (!o.kernel.empty()) add("-kernel", o.kernel.string());
  add("-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial");
  if (o.monitor == Monitor::absolute)
    add("-qmp", "unix:" + doubled_commas(qmp_path()) + ",server=on,wait=off");
  if (o.monitor == Monitor::relative) add("-qmp", "unix:qmp,server=on,wait=off");
  if (o.truth)
    add("-chardev", "socket,id=truth,fd=" + std::to_string(truth_in_child_), "-mon",
        "chardev=truth,mode=control");
  if (!o.started) add("-S");
  argv_.insert(argv_.end(), o.args.begin(), o.args.end());
}

Outcome<void> QemuGuest::spawn() {
  const auto failed = [](const char* what) {
    return std::unexpected(std::string(what) + ": " + std::strerror(errno));
  };
  int pair[2] = {-1, -1};
  if (options_.truth) {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
      return failed("socketpair");
    truth_ = QmpTruth(pair[0]);
    ::fcntl(pair[1], F_SETFD, 0);  // QEMU inherits it under this number
    truth_in_child_ = pair[1];
  }
  int keyboard[2] = {-1, -1};
  if (::pipe2(keyboard, O_CLOEXEC) != 0) return failed("pipe");
  keyboard_ = keyboard[1];
  write_command_line();
  std::vector<char*> argv;
  for (std::string& word : argv_) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string cwd = options_.cwd.empty() ? folder() : options_.cwd;
  const int serial = make_file(folder() / "serial");
  const int log = make_file(folder() / "stderr");
  const Child child{::getpid(), argv.data(), cwd.c_str(), {keyboard[0], serial, log}};
  pid_ = ::fork();
  if (pid_ == 0) become_qemu(child);
  for (const int fd : {serial, log, keyboard[0], pair[1]})
    if (fd >= 0) ::close(fd);
  if (pid_ < 0) return failed("fork");
  return {};
}

QemuGuest::Start QemuGuest::start(QemuOptions options) {
  std::unique_ptr<QemuGuest> guest(new QemuGuest(std::move(options)));
  if (auto done = guest->spawn(); !done) return std::unexpected(done.error());
  if (guest->options_.truth) {
    if (auto done = guest->truth_.greet(); !done)
      return std::unexpected(done.error() + "\n" + guest->complaints());
    return guest;
  }
  // Without a monitor, QEMU is up once it waits for its guest's input.
  for (const auto deadline = std::chrono::steady_clock::now() + 20s;
       std::chrono::steady_clock::now() < deadline; std::this_thread::sleep_for(5ms))
    if (guest->runs_threads()) return guest;
  return std::unexpected("QEMU did not start in time\n" + guest->complaints());
}

bool QemuGuest::runs_threads() const {
  std::error_code none;
  const std::filesystem::directory_iterator threads("/proc/" + std::to_string(pid_) + "/task",
                                                    none);
  return !none && std::distance(begin(threads), end(threads)) >= 2;
}

QemuGuest::~QemuGuest() {
  kill();
  if (keyboard_ >= 0) ::close(keyboard_);
}

void QemuGuest::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
}

void QemuGuest::kill_unreaped() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  siginfo_t ignored{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &ignored, WEXITED | WNOWAIT);
}

std::vector<std::string> QemuGuest::serial_lines() const {
  std::vector<std::string> lines;
  std::istringstream in(text_of(folder() / "serial"));
  for (std::string line; std::getline(in, line) && !in.eof();) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

Outcome<std::string> QemuGuest::wait_for_line(const std::string& regex,
                                              std::chrono::milliseconds patience) const {
  const std::regex wanted(regex);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto lines = serial_lines();
    const auto found = std::ranges::find_if(
        lines, [&](const std::string& line) { return std::regex_search(line, wanted); });
    if (found != lines.end()) return *found;
    if (std::chrono::steady_clock::now() >= deadline)
      return std::unexpected("no line with '" + regex + "' in time; serial port:\n" +
                             text_of(folder() / "serial") + complaints());
    std::this_thread::sleep_for(10ms);
  }
}

Outcome<void> QemuGuest::type(const std::string& text) const {
  const ssize_t size = ::write(keyboard_, text.data(), text.size());
  if (size == static_cast<ssize_t>(text.size())) return {};
  return std::unexpected(std::string("cannot type: ") + std::strerror(errno));
}

std::string QemuGuest::complaints() const { return text_of(folder() / "stderr"); }

}  // namespace microvmi::test
