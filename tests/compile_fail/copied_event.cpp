// SPDX-License-Identifier: Apache-2.0
// An event is answered once, so there is one of it.
#include "microvmi/event.hpp"

microvmi::Event keep(microvmi::Event& event) {
#ifdef MISTAKE
  return event;
#else
  return std::move(event);
#endif
}
