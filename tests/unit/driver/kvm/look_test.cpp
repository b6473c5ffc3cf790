// SPDX-License-Identifier: Apache-2.0
// Command lines of QEMUs that want to be introspected.
#include "driver/kvm/look.hpp"

#include <gmock/gmock.h>

namespace microvmi::kvm {
namespace {

using Words = std::vector<std::string>;

TEST(KvmiLook, ThePathOfTheChardevThatTheObjectNames) {
  const Words argv{"qemu-system-x86_64",
                   "-name",
                   "win10",
                   "-chardev",
                   "socket,id=x,path=/x",
                   "-chardev",
                   "socket,id=kvmi,path=/tmp/introspector,reconnect=10",
                   "-object",
                   "introspection,id=i,chardev=kvmi"};
  const auto found = introspection_of(argv);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "win10");
  EXPECT_EQ(found->path, "/tmp/introspector");
}

TEST(KvmiLook, JsonAndTwoDashes) {
  const auto found = introspection_of(
      Words{"qemu", "--object", R"({"qom-type":"introspection","id":"i","chardev":"c"})",
            "--chardev", R"({"backend":"socket","id":"c","path":"/p"})"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, "/p");
}

TEST(KvmiLook, OthersAreNone) {
  EXPECT_FALSE(introspection_of(Words{}));
  EXPECT_FALSE(introspection_of(Words{"qemu", "-object"}));
  EXPECT_FALSE(introspection_of(Words{"qemu", "-object", "rng-random,id=introspection"}));
  EXPECT_FALSE(introspection_of(Words{"grep", "introspection,chardev=c"}));
  const auto elsewhere = introspection_of(
      Words{"qemu", "-object", "introspection,chardev=c", "-chardev", "vsock,id=c,port=1"});
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->path, "");
}

}  // namespace
}  // namespace microvmi::kvm
