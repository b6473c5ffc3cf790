// SPDX-License-Identifier: Apache-2.0
// What KVM's answers mean.
#include "host/linux/kvm_state.hpp"

#include <gmock/gmock.h>

#include <cerrno>

namespace microvmi::host {
namespace {

using testing::HasSubstr;

// Of a guest with AMX KVM_GET_XSAVE returns -EINVAL, whoever asks: no mistake of the caller's.
TEST(KvmStateTest, AnXsaveAreaThatIsTooLongIsNotSupported) {
  EXPECT_TRUE(check_xsave(0));
  const auto amx = check_xsave(-EINVAL);
  ASSERT_FALSE(amx);
  EXPECT_EQ(amx.error().code, Errc::not_supported);
  EXPECT_THAT(amx.error().message, HasSubstr("AMX"));
  const auto other = check_xsave(-EFAULT);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::io);
  EXPECT_THAT(other.error().message, HasSubstr("Bad address"));
}

}  // namespace
}  // namespace microvmi::host
