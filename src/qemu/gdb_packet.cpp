// SPDX-License-Identifier: Apache-2.0
// Framing, escapes, run lengths, checksums; stop replies.
#include "qemu/gdb_packet.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/linux/number.hpp"

namespace microvmi::qemu {
namespace {

constexpr char kEscape = '}';
constexpr char kRun = '*';
constexpr unsigned kEscapeMask = 0x20;
constexpr int kRunBase = 29;  // a count is sent as the character of count + 29

std::optional<unsigned> digit_of(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

bool is_special(char c) { return c == '$' || c == '#' || c == kEscape || c == kRun; }

std::size_t plain_part(std::string_view bytes) {
  return static_cast<std::size_t>(std::ranges::find_if(bytes, is_special) - bytes.begin());
}

std::unexpected<Error> nonsense(const char* what) {
  return fail(Errc::protocol, std::string("gdb stub: ") + what);
}

}  // namespace

std::string gdb_frame(std::string_view data) {
  std::string out = "$";
  std::uint8_t sum = 0;
  const auto put = [&](char c) {
    out.push_back(c);
    sum = static_cast<std::uint8_t>(sum + static_cast<std::uint8_t>(c));
  };
  for (const char c : data) {
    if (is_special(c)) put(kEscape);
    put(is_special(c) ? static_cast<char>(static_cast<unsigned char>(c) ^ kEscapeMask) : c);
  }
  return out + fmt::format("#{:02x}", sum);
}

Expected<std::vector<std::string>> GdbFramer::feed(std::string_view bytes) {
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const std::size_t plain = state_ == State::data ? plain_part(bytes) : 0;
    if (plain != 0) {
      if (auto taken = take_plain(bytes.substr(0, plain)); !taken)
        return std::unexpected(std::move(taken.error()));
      bytes.remove_prefix(plain);
      continue;
    }
    const auto whole = take(bytes.front());
    bytes.remove_prefix(1);
    if (!whole) return std::unexpected(whole.error());
    if (!*whole) continue;
    out.push_back(std::move(data_));
    data_.clear();
  }
  return out;
}

// Registers are a thousand bytes that mean themselves.
Expected<void> GdbFramer::take_plain(std::string_view some) {
  if (some.size() > kMaxGdbPacket - data_.size()) return nonsense("a packet that is too long");
  for (const char c : some) sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(c));
  data_ += some;
  return {};
}

Expected<bool> GdbFramer::take(char c) {
  if (state_ == State::between) return take_between(c);
  if (state_ == State::first_digit || state_ == State::second_digit) return take_digit(c);
  if (c == '#' && state_ == State::data) {
    state_ = State::first_digit;
    return false;
  }
  sum_ = static_cast<std::uint8_t>(sum_ + static_cast<std::uint8_t>(c));
  if (state_ == State::run) return take_run(c);
  return take_data(c);
}

// '+' says that a packet came through, which over a socket it always does.
Expected<bool> GdbFramer::take_between(char c) {
  if (c == '-') return nonsense("it says that a packet was damaged");
  if (c == '+') return false;
  if (c != '$') return nonsense("bytes that are in no packet");
  state_ = State::data;
  sum_ = 0;
  return false;
}

// The one character behind an escape, or one that does not mean itself.
Expected<bool> GdbFramer::take_data(char c) {
  if (data_.size() >= kMaxGdbPacket) return nonsense("a packet that is too long");
  if (state_ == State::escape) {
    data_.push_back(static_cast<char>(static_cast<unsigned char>(c) ^ kEscapeMask));
    state_ = State::data;
  } else if (c == kEscape) {
    state_ = State::escape;
  } else if (c == kRun) {
    state_ = State::run;
  } else {
    return nonsense("a packet that begins within another");
  }
  return false;
}

Expected<bool> GdbFramer::take_run(char c) {
  const int count = static_cast<unsigned char>(c) - kRunBase;
  if (data_.empty() || count < 3 || c > '~') return nonsense("a run length that makes no sense");
  if (data_.size() + static_cast<std::size_t>(count) > kMaxGdbPacket)
    return nonsense("a packet that is too long");
  data_.append(static_cast<std::size_t>(count), data_.back());
  state_ = State::data;
  return false;
}

Expected<bool> GdbFramer::take_digit(char c) {
  const auto digit = digit_of(c);
  if (!digit) return nonsense("a checksum that is no number");
  if (state_ == State::first_digit) {
    given_ = static_cast<std::uint8_t>(*digit << 4U);
    state_ = State::second_digit;
    return false;
  }
  given_ = static_cast<std::uint8_t>(given_ | *digit);
  state_ = State::between;
  if (given_ != sum_) return nonsense("a wrong checksum");
  return true;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto high = digit_of(text[i]);
    const auto low = digit_of(text[i + 1]);
    if (!high || !low) return std::nullopt;
    out.push_back(static_cast<char>(*high << 4U | *low));
  }
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::optional<std::uint64_t> hex_number(std::string_view text) {
  return host::number_of<std::uint64_t>(text, 16);
}

const char* trouble_of(const GdbStop& stop) {
  // GDB_SIGNAL_QUIT, ABRT, ALRM and IO.
  switch (stop.signal) {
    case 3:
      return "the guest was shut down";
    case 6:
      return "an internal error: the accelerator could not run an instruction";
    case 14:
      return "the guest's watchdog expired";
    case 23:
      return "an error of input or output";
    default:
      return nullptr;
  }
}

bool is_gdb_stop(std::string_view data) {
  return data.size() >= 3 && (data.front() == 'T' || data.front() == 'S') &&
         hex_number(data.substr(1, 2));
}

Expected<GdbStop> parse_gdb_stop(std::string_view data) {
  const auto wrong = [data] {
    return fail(Errc::protocol, fmt::format("gdb stub: {:?} is no stop reply", data.substr(0, 80)));
  };
  if (data.starts_with('W') || data.starts_with('X'))
    return fail(Errc::disconnected, "gdb stub: the guest ended");
  if (!is_gdb_stop(data)) return wrong();
  GdbStop out{.signal = static_cast<std::uint8_t>(*hex_number(data.substr(1, 2)))};
  for (std::string_view rest = data.substr(3); !rest.empty();) {
    const std::string_view field = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(field.size() + 1, rest.size()));
    const std::size_t colon = field.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = field.substr(0, colon);
    std::string_view value = field.substr(colon + 1);
    if (name == "thread") {
      if (value.starts_with('p'))
        value.remove_prefix(std::min(value.find('.'), value.size() - 1) + 1);
      const auto thread = hex_number(value);
      if (!thread || *thread == 0 || *thread > UINT32_MAX) return wrong();
      out.thread = static_cast<std::uint32_t>(*thread);
    } else if (name == "watch" || name == "rwatch" || name == "awatch") {
      const auto address = hex_number(value);
      if (!address) return wrong();
      out.address = *address;
      out.watch = name == "watch"    ? GdbStop::Watch::write
                  : name == "rwatch" ? GdbStop::Watch::read
                                     : GdbStop::Watch::access;
    }
  }
  return out;
}

}  // namespace microvmi::qemu
