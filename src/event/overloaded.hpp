// SPDX-License-Identifier: Apache-2.0
// Overloaded: one visitor made of a lambda for each alternative of a variant.
#pragma once

namespace microvmi {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace microvmi
