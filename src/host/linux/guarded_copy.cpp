// SPDX-License-Identifier: Apache-2.0
// The SIGBUS handler behind guarded_copy.
#include "host/linux/guarded_copy.hpp"

#include <ucontext.h>

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <mutex>

#include "host/linux/copy_guard.hpp"
#include "microvmi/address.hpp"

namespace microvmi::host {

namespace {

struct sigaction g_previous{};

void end_by_default() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGBUS, &standard, nullptr);
}

void chain(int signal, siginfo_t* info, void* context) {
  if ((g_previous.sa_flags & SA_SIGINFO) != 0)
    return g_previous.sa_sigaction(signal, info, context);
  // Codes above 0 are of the kernel: a fault, which comes again on return. Others were sent.
  const bool fault = info->si_code > 0;
  if (g_previous.sa_handler == SIG_IGN && !fault) return;
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN)
    return g_previous.sa_handler(signal);
  end_by_default();
  if (!fault) ::raise(signal);
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  CopyGuard* guard = t_copy_guard;
  const auto fault = reinterpret_cast<std::uintptr_t>(info->si_addr);
  // si_addr may be rounded down to its page, so that it lies before the first byte.
  const bool ours =
      guard && info->si_code > 0 && fault >= (guard->first & ~(kPageSize - 1)) &&
      fault - (guard->first & ~(kPageSize - 1)) < guard->size + (guard->first & (kPageSize - 1));
  if (!ours) return chain(signal, info, context);
  guard->fault = fault;
  // sigsetjmp saved no mask, which would be a system call for each copy: here is the one that was.
  ::pthread_sigmask(SIG_SETMASK, &static_cast<const ucontext_t*>(context)->uc_sigmask, nullptr);
  siglongjmp(guard->back, 1);
}

}  // namespace

void install_copy_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &g_previous);
  });
}

std::size_t guarded_copy(void* to, const void* from, std::size_t size) {
  if (size == 0) return 0;
  CopyGuard guard;
  guard.index = size;
  CopyGuard* const before = CopyGuard::enter(guard);
  if (sigsetjmp(guard.back, 0) != 0) {
    // memcpy goes in any order: what lies before the page that failed is copied again.
    const std::uintptr_t page = guard.fault & ~(kPageSize - 1);
    guard.index = page > guard.first ? page - guard.first : 0;
  }
  if (guard.index != 0) guard.copy(to, from, guard.index);
  CopyGuard::leave(before);
  return guard.index;
}

}  // namespace microvmi::host
