// SPDX-License-Identifier: Apache-2.0
// XenTest: a guest of this dom0, opened through the xen driver as a user does it.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <optional>

#include "microvmi/init.hpp"
#include "xen/domain.hpp"

namespace microvmi::test::xen {

inline constexpr VcpuId kFirstVcpu{0};

[[nodiscard]] inline std::expected<Vm, InitError> open(const Domain& domain) {
  return init(DriverType::xen, {.xen = XenInitParams{.domid = domain.id()}});
}

class XenTest : public testing::Test {
 protected:
  // What a test begins with, under ASSERT_NO_FATAL_FAILURE.
  void use(const std::string& name) { adopt(Domain::find(name)); }
  void use_another(const std::string& name, const std::string& settings = "vcpus=1") {
    adopt(Domain::create(name, settings));
  }

  [[nodiscard]] Domain& domain() { return *domain_; }
  [[nodiscard]] Vm& vm() { return *vm_; }
  [[nodiscard]] PhysicalMemory& memory() { return vm_->memory(); }
  void close() { vm_.reset(); }
  void reopen() {
    close();
    auto opened = open(*domain_);
    ASSERT_TRUE(opened) << to_text(opened.error());
    vm_.emplace(*std::move(opened));
  }

  // Why there are no more events of a guest that went away. What came before may still be told.
  [[nodiscard]] std::optional<Error> end_of_events() {
    for (int i = 0; i < 10; ++i)
      if (auto event = vm().next_event(Wait::at_most(std::chrono::seconds(60))); !event)
        return event.error();
    return std::nullopt;
  }

  // Whether the tiny guest goes on: a few rounds of its loop.
  [[nodiscard]] bool alive() { return domain_->counts_on(); }

 private:
  void adopt(Outcome<Domain> found) {
    ASSERT_TRUE(found) << found.error();
    domain_.emplace(*std::move(found));
    ASSERT_NO_FATAL_FAILURE(reopen());
  }

  std::optional<Domain> domain_;
  std::optional<Vm> vm_;  // closed before the guest is destroyed
};

// The same test on PVH and HVM: GetParam() is the guest's name.
class XenBothTest : public XenTest, public testing::WithParamInterface<const char*> {};

}  // namespace microvmi::test::xen
