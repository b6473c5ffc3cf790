// SPDX-License-Identifier: Apache-2.0
// microvmi write: bytes from stdin or the command line into guest memory.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command.hpp"
#include "guest_bytes.hpp"
#include "json.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

constexpr std::size_t kWritePiece = 1UL << 20;

struct WriteArgs {
  std::optional<std::string> gpa;
  std::optional<std::string> hex;
  AddressKind kind;
  bool json = false;
};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Digits in pairs; white space and colons between them do not count.
std::vector<std::byte> bytes_of(Session& session, std::string_view text) {
  std::vector<std::byte> bytes;
  int high = -1;
  for (const char c : text) {
    const int value = digit(c);
    if (value < 0 && std::string_view(" \t\n:").contains(c)) continue;
    if (value < 0) {
      session.wrong(fmt::format("--hex expects hexadecimal digits, not '{}'", c));
      return {};
    }
    if (high >= 0) bytes.push_back(static_cast<std::byte>(high * 16 + value));
    high = high >= 0 ? -1 : value;
  }
  if (high >= 0) session.wrong("--hex expects two digits for each byte");
  if (bytes.empty()) session.wrong("--hex expects at least one byte");
  return bytes;
}

class Writer {
 public:
  Writer(GuestBytes& memory, std::uint64_t start) : memory_(memory), start_(start) {}

  Outcome write(std::span<const std::byte> bytes) {
    if (!bytes.empty() && bytes.size() - 1 > ~(start_ + written_))
      return failed("the bytes run past the last address there is" + so_far());
    const Transferred part = memory_.write(start_ + written_, bytes);
    written_ += part.done;
    return part.status == Errc::none ? Outcome{} : failed(part.why + so_far());
  }

  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::string so_far() const {
    return fmt::format("; {} bytes were written from {} on", written_, hex(start_));
  }

 private:
  GuestBytes& memory_;
  std::uint64_t start_;
  std::uint64_t written_ = 0;
};

// What there is on stdin, at most a buffer full; 0 at its end.
Result<std::size_t> read_stdin(std::span<std::byte> into, const Session& session) {
  std::size_t done = 0;
  while (done != into.size()) {
    const ssize_t size = ::read(STDIN_FILENO, into.data() + done, into.size() - done);
    if (size == 0) break;
    if (size > 0)
      done += static_cast<std::size_t>(size);
    else if (errno != EINTR)
      return failed(std::string("cannot read standard input: ") + std::strerror(errno));
    else if (session.stop().stop_requested())
      return failed("interrupted");
  }
  return done;
}

Outcome copy_stdin(Session& session, Writer& writer) {
  std::vector<std::byte> buffer(kWritePiece);
  while (true) {
    const auto size = read_stdin(buffer, session);
    if (!size) return failed(size.error().text + writer.so_far());
    if (*size == 0) break;
    if (auto done = writer.write(std::span(buffer).first(*size)); !done) return done;
  }
  return writer.written() == 0 ? failed("standard input is empty: nothing was written") : Outcome{};
}

Outcome run_write(Session& session, WriteArgs& options) {
  const std::uint64_t start =
      session.number(options.kind.is_virtual ? "the virtual address" : "GPA", options.gpa);
  options.kind.check(session);
  std::vector<std::byte> bytes;
  if (options.hex)
    bytes = bytes_of(session, *options.hex);
  else if (is_terminal(STDIN_FILENO))
    session.wrong("the bytes to write are expected on standard input or in --hex");
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  if (!vm->memory().writable())
    return failed("read_only: the memory of this guest cannot be written");
  const auto space = options.kind.resolve(*vm);
  if (!space) return std::unexpected(space.error());
  GuestBytes memory(*vm, *space);
  Writer writer(memory, start);
  if (auto done = options.hex ? writer.write(bytes) : copy_stdin(session, writer); !done)
    return done;
  if (options.json)
    return session.out().write(
        to_text(Json{{options.kind.json_key(), start}, {"written", writer.written()}}));
  return session.out().write(fmt::format("wrote {} bytes at {}\n", writer.written(), hex(start)));
}

Run declare_write(CLI::App& app) {
  auto options = std::make_shared<WriteArgs>();
  add_text(app, "GPA", options->gpa, "Address of the first byte: physical, or virtual with --gva");
  add_text(app, "--hex", options->hex, "The bytes, as \"de ad be ef\"; else from stdin", "DIGITS");
  add_flag(app, "--json", options->json, "One object {gpa or gva, written}");
  options->kind.declare(app);
  return [options](Session& session) { return run_write(session, *options); };
}

}  // namespace

const Command kWrite{.name = "write",
                     .summary = "Write bytes from stdin, or given as hexadecimal, to guest memory",
                     .takes_target = true,
                     .declare = declare_write};

}  // namespace microvmi::tool
