// SPDX-License-Identifier: Apache-2.0
// What a kernel may do wrong with a reply, and what has to become of that.
#pragma once

#include "kvmi/line.hpp"

namespace microvmi::test::kvmi {

struct Bad {
  const char* name;
  Misdeed what;
  std::optional<Errc> read;  // what becomes of a read of memory; nullopt: it succeeds
  bool ends;                 // the connection
};

inline constexpr Bad kBad[]{
    {"silence", Misdeed::silence, Errc::timed_out, false},
    {"wrong_seq", Misdeed::wrong_seq, Errc::protocol, true},
    {"wrong_id", Misdeed::wrong_id, Errc::protocol, true},
    {"short_reply", Misdeed::short_reply, Errc::protocol, true},
    {"no_error_block", Misdeed::no_error_block, Errc::protocol, true},
    {"long_reply", Misdeed::long_reply, std::nullopt, false},
    {"oversize", Misdeed::oversize, Errc::protocol, true},
    {"hangup_before", Misdeed::hangup_before, Errc::disconnected, true},
    {"hangup_in_header", Misdeed::hangup_in_header, Errc::disconnected, true},
    {"hangup_in_body", Misdeed::hangup_in_body, Errc::disconnected, true},
    {"twice", Misdeed::twice, std::nullopt, true},
};

inline std::expected<Vm, InitError> open(const Line& line, std::chrono::milliseconds time) {
  auto params = line.params();
  params.timeout = time;
  return Line::open(params);
}

}  // namespace microvmi::test::kvmi
