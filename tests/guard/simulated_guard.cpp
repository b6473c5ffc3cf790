// SPDX-License-Identifier: Apache-2.0
// The helper program of guard_test: the real one, but for the guests it opens.
#include <unistd.h>

#include "guard/simulated_guest.hpp"

int main() {
  using namespace microvmi;
  return guard::serve(guard::Channel(guard::kHelperFd),
                      [](const guard::Subject& subject, const Wait&) -> Expected<Vm> {
                        if (subject.params.empty())
                          return fail(Errc::not_found, "no folder is given");
                        const std::filesystem::path folder = subject.params.front().value;
                        test::SimulatedGuest::put(folder / "guard", std::to_string(::getpid()));
                        return Vm(subject.driver, std::make_unique<test::SimulatedGuest>(folder));
                      });
}
