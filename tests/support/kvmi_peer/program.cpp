// SPDX-License-Identifier: Apache-2.0
// The simulated peer as a program, for tests of the command line: kvmi_peer_program PATH [NAME].
//
// It lives until its standard input ends, 60 seconds at most; 1 where the tool broke the protocol.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "support/kvmi_peer/peer.hpp"

int main(int argc, char** argv) {
  using namespace microvmi::test::kvmi;
  testing::InitGoogleTest(&argc, argv);
  if (argc < 2) {
    std::fputs("usage: kvmi_peer_program PATH [NAME]\n", stderr);
    return 2;
  }
  constexpr int kLifeMs = 60'000;
  Guest guest = usual_guest();
  Bytes words;
  for (std::uint64_t at = 0; at != 0x4000; at += 8) append(words, 0x5a00'0000'0000 + at);
  guest.poke(0x10000, words);  // what support.py calls pattern()
  Peer peer({.path = argv[1],
             .name = argc > 2 ? argv[2] : "simulated",
             .reconnect = std::chrono::milliseconds(5)},
            std::move(guest));
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  ::poll(&input, 1, kLifeMs);
  const auto violations = peer.take_violations();
  for (const std::string& one : violations) std::fprintf(stderr, "%s\n", one.c_str());
  return violations.empty() ? 0 : 1;
}
