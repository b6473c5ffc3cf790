// SPDX-License-Identifier: Apache-2.0
// Claim: who of us listens to the events of a domain, told by a lock that ends with its program.
//
// Xen itself keeps the ring of a program that was killed, and cannot say that nobody serves it.
#pragma once

#include <string>

#include "host/linux/descriptor.hpp"

namespace microvmi::xen::native {

class Claim {
 public:
  // busy: a program that lives has it.
  [[nodiscard]] static Expected<Claim> make(const std::string& path);
  Claim(Claim&& other) noexcept = default;
  Claim& operator=(Claim&& other) noexcept = default;
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() = default;

  // Whether the one who had it before ended without give_up().
  [[nodiscard]] bool was_left() const { return was_left_; }
  void give_up();

 private:
  Claim(host::Descriptor file, std::string path, bool was_left)
      : file_(std::move(file)), path_(std::move(path)), was_left_(was_left) {}

  host::Descriptor file_;
  std::string path_;
  bool was_left_;
};

}  // namespace microvmi::xen::native
