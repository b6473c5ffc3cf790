// SPDX-License-Identifier: Apache-2.0
// SimulatedXenEvents: events of a simulated Xen's domain, through a ring of our own.
#pragma once

#include <gmock/gmock.h>

#include <stdexcept>

#include "driver/xen/events.hpp"
#include "support/temp_folder.hpp"
#include "unit/driver/xen/simulated_xen.hpp"

namespace microvmi::xen {

using namespace std::chrono_literals;

class SimulatedXenEvents : public testing::Test, public ContextWriter {
 protected:
  Expected<void> write_context(std::uint32_t vcpu, const Registers& wanted) override {
    written.emplace_back(vcpu, wanted);
    return {};
  }
  [[nodiscard]] std::shared_ptr<Events> make() {
    return std::make_shared<Events>(guest, *this, folder.path().string());
  }
  [[nodiscard]] Expected<Event> next() { return events->next(Wait::at_most(10s)); }
  template <class E>
  [[nodiscard]] Caught<E> caught() {
    auto event = next();
    if (!event) throw std::runtime_error(to_text(event.error()));
    return std::get<Caught<E>>(*std::move(event));
  }

  test::TempFolder folder;
  std::shared_ptr<test::xen::SimulatedXen> xen = std::make_shared<test::xen::SimulatedXen>();
  Guest guest{xen, xen->one};
  std::vector<std::pair<std::uint32_t, Registers>> written;
  std::shared_ptr<Events> events = make();
};

}  // namespace microvmi::xen
