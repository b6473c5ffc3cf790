// SPDX-License-Identifier: Apache-2.0
// Which of several failures speaks for all of them.
#pragma once

#include "microvmi/error.hpp"

namespace microvmi {

// Of backends that all failed, one that looked tells more than one that is not in this build, and
// that more than one that the parameters do not concern. Between equals the later speaks.
[[nodiscard]] constexpr Errc more_telling(Errc sofar, Errc next) {
  const auto weight = [](Errc code) {
    return code == Errc::none || code == Errc::not_applicable ? 0
           : code == Errc::not_supported                      ? 1
                                                              : 2;
  };
  if (weight(next) == 0) return sofar;
  return weight(next) >= weight(sofar) ? next : sofar;
}

}  // namespace microvmi
