// SPDX-License-Identifier: Apache-2.0
// System calls in a thread of a child of ours, which looks whether it is still what it was:
// vector registers, rounding, signal mask.
#include "host/linux/injection.hpp"

#include <gmock/gmock.h>
#include <immintrin.h>
#include <linux/kvm.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>

namespace microvmi::host {
namespace {

using namespace std::chrono_literals;

struct Shared {
  std::atomic<std::uint64_t> rounds{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> signals{0};
  std::array<int, 2> pipe{};  // its read end has kWaiting bytes in it
};
constexpr int kWaiting = 11;
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Shared* shared = nullptr;

using Vectors = std::array<std::array<std::uint8_t, 32>, 4>;

// epoll_wait of a millisecond between loading vector registers and storing them again.
__attribute__((target("avx"))) long wait_with(int epoll, const Vectors& before, Vectors& after) {
  epoll_event event{};
  long result = SYS_epoll_wait;
  register long timeout asm("r10") = 1;
  asm volatile(
      "vmovdqu (%[from]), %%ymm0\n vmovdqu 32(%[from]), %%ymm5\n"
      "vmovdqu 64(%[from]), %%ymm10\n vmovdqu 96(%[from]), %%ymm15\n"
      "syscall\n"
      "vmovdqu %%ymm0, (%[to])\n vmovdqu %%ymm5, 32(%[to])\n"
      "vmovdqu %%ymm10, 64(%[to])\n vmovdqu %%ymm15, 96(%[to])\n vzeroupper\n"
      : "+a"(result), "+r"(timeout)
      : [from] "r"(before.data()), [to] "r"(after.data()), "D"(epoll), "S"(&event), "d"(1)
      : "rcx", "r11", "xmm0", "xmm5", "xmm10", "xmm15", "memory");
  return result;
}

[[noreturn]] void child() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action{};
  action.sa_handler = [](int) { ++shared->signals; };
  ::sigaction(SIGUSR1, &action, nullptr);
  if (::pipe(shared->pipe.data()) != 0 || ::write(shared->pipe[1], "eleven byte", kWaiting) < 0)
    ++shared->wrong;
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  constexpr unsigned kRounding = 0x7F80;  // truncation, all exceptions masked
  _mm_setcsr(kRounding);
  sigset_t mask;
  sigset_t now;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  Vectors before;
  for (std::uint8_t round = 0;; ++round) {
    for (std::size_t i = 0; i < before.size(); ++i)
      before[i].fill(static_cast<std::uint8_t>(round + 16 * i));
    Vectors after{};
    const long result = wait_with(epoll, before, after);
    ::sigprocmask(SIG_SETMASK, nullptr, &now);
    const bool interrupted = result == -EINTR;  // by SIGUSR1
    if ((result != 0 && !interrupted) || after != before || _mm_getcsr() != kRounding ||
        std::memcmp(&now, &mask, sizeof(std::uint64_t)) != 0)
      ++shared->wrong;
    ++shared->rounds;
  }
}

class InjectionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "this processor has no AVX";
    void* const page =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    shared = new (page) Shared;
    pid_ = ::fork();
    if (pid_ == 0) child();
    wait_for_rounds(3);
    auto process = Process::open(static_cast<std::uint32_t>(pid_), std::nullopt, Liveness::poll);
    ASSERT_TRUE(process) << to_text(process.error());
    process_.emplace(*std::move(process));
    const auto gadgets = find_gadgets(*process_);
    ASSERT_TRUE(gadgets) << to_text(gadgets.error());
    gadgets_ = *gadgets;
  }

  void TearDown() override {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::munmap(shared, sizeof(Shared));
  }

  static void wait_for_rounds(std::uint64_t more) {
    const std::uint64_t wanted = shared->rounds + more;
    for (int i = 0; i < 20'000 && shared->rounds < wanted; ++i) std::this_thread::sleep_for(1ms);
    ASSERT_GE(shared->rounds, wanted) << "the child stands still";
  }

  // getppid() in the child; its answer.
  Expected<std::int64_t> inject(Tracer& tracer) {
    Expected<std::int64_t> result;
    tracer.run([&] {
      const Wait wait = Wait::at_most(20s);
      auto tracee = Tracee::stop({tracer, *process_, static_cast<std::uint32_t>(pid_)}, wait);
      if (!tracee) return void(result = std::unexpected(tracee.error()));
      auto injection = Injection::begin(*tracee, gadgets_);
      if (!injection) return void(result = std::unexpected(injection.error()));
      result = injection->call(SYS_getppid, {}, wait);
    });
    return result;
  }

  // What three ioctls left in their data: two that tell what waits in the pipe, and between them
  // one that is refused.
  using Answers = std::array<std::int32_t, 3>;
  Expected<Answers> inject_chain(Tracer& tracer, Wait wait = Wait::at_most(20s)) {
    Answers answers{-7, -7, -7};
    Expected<void> result;
    const auto bytes = [&](std::size_t i) {
      return std::as_writable_bytes(std::span(answers).subspan(i, 1));
    };
    const std::array<Control, 3> calls{
        {{FIONREAD, bytes(0)}, {KVM_GET_DEBUGREGS, bytes(1)}, {FIONREAD, bytes(2)}}};
    tracer.run([&] {
      auto tracee = Tracee::stop({tracer, *process_, static_cast<std::uint32_t>(pid_)}, wait);
      if (!tracee) return void(result = std::unexpected(tracee.error()));
      result = go_on_by_way_of(*tracee, gadgets_, shared->pipe[0], calls, wait);
    });
    return result ? Expected<Answers>(answers) : std::unexpected(result.error());
  }

  // A process that does `work` with a tracer until it is killed at some moment; again and again.
  template <class Work>
  void kill_at_random(Work work) {
    std::mt19937 random(42);
    std::uniform_int_distribution<int> delay(0, 4000);
    for (int i = 0; i < 60; ++i) {
      const pid_t tracing = ::fork();
      if (tracing == 0) {
        auto tracer = Tracer::start();
        while (tracer) work(**tracer);
        ::_exit(1);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
      ::kill(tracing, SIGKILL);
      ASSERT_EQ(::waitpid(tracing, nullptr, 0), tracing);
      wait_for_rounds(2);
      ASSERT_EQ(::waitpid(pid_, nullptr, WNOHANG), 0) << "it died with its tracer";
    }
    EXPECT_EQ(shared->wrong, 0U);
  }

  pid_t pid_ = -1;
  std::optional<Process> process_;
  Gadgets gadgets_;
};

TEST_F(InjectionTest, TheThreadNoticesNothing) {
  auto tracer = Tracer::start();
  ASSERT_TRUE(tracer);
  int made = 0;
  for (int i = 0; i < 300; ++i) {
    if (i % 10 == 0) ::kill(pid_, SIGUSR1);
    const auto parent = inject(**tracer);
    if (!parent && parent.error().code == Errc::busy) continue;  // in its signal handler's return
    ASSERT_TRUE(parent) << to_text(parent.error());
    ASSERT_EQ(*parent, ::getpid());
    ++made;
  }
  EXPECT_GT(made, 200);
  wait_for_rounds(3);
  EXPECT_EQ(shared->wrong, 0U);
  EXPECT_GT(shared->signals, 0U) << "signals come afterwards";
}

// Killed at any moment: the thread restores itself.
TEST_F(InjectionTest, TheThreadOutlivesItsTracer) {
  kill_at_random([this](Tracer& tracer) { static_cast<void>(inject(tracer).has_value()); });
}

TEST_F(InjectionTest, ItOutlivesOneThatGaveItAChain) {
  kill_at_random([this](Tracer& tracer) { static_cast<void>(inject_chain(tracer).has_value()); });
}

TEST_F(InjectionTest, AChainIsMadeWithoutTheThreadNoticing) {
  auto tracer = Tracer::start();
  ASSERT_TRUE(tracer);
  int made = 0;
  for (int i = 0; i < 300; ++i) {
    if (i % 10 == 0) ::kill(pid_, SIGUSR1);
    const auto answers = inject_chain(**tracer);
    if (!answers && answers.error().code == Errc::busy) continue;
    ASSERT_TRUE(answers) << to_text(answers.error());
    ASSERT_EQ(*answers, (Answers{kWaiting, -7, kWaiting})) << "the second was refused";
    ++made;
  }
  EXPECT_GT(made, 200);
  wait_for_rounds(3);
  EXPECT_EQ(shared->wrong, 0U);
  EXPECT_GT(shared->signals, 0U) << "signals come afterwards";
}

// Two programs use the same place below its stack; each has its own answers or is told to try
// again.
TEST_F(InjectionTest, TwoWhoGiveChainsDoNotMixThemUp) {
  auto tracer = Tracer::start();
  ASSERT_TRUE(tracer);
  const pid_t other = ::fork();
  if (other == 0) {
    auto own = Tracer::start();
    while (own) static_cast<void>(inject_chain(**own).has_value());
    ::_exit(1);
  }
  int made = 0;
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (made < 100 && std::chrono::steady_clock::now() < end) {
    const auto answers = inject_chain(**tracer);
    if (!answers && answers.error().code == Errc::busy) {
      std::this_thread::sleep_for(50us);
      continue;
    }
    EXPECT_TRUE(answers) << to_text(answers.error());
    if (!answers) break;
    EXPECT_EQ(*answers, (Answers{kWaiting, -7, kWaiting}));
    ++made;
  }
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  EXPECT_EQ(made, 100);
  wait_for_rounds(3);
  EXPECT_EQ(shared->wrong, 0U);
}

TEST_F(InjectionTest, AChainThatIsNotMadeInTimeIsAnError) {
  auto tracer = Tracer::start();
  ASSERT_TRUE(tracer);
  ::kill(pid_, SIGSTOP);
  ASSERT_EQ(::waitpid(pid_, nullptr, WUNTRACED), pid_);
  const auto answers = inject_chain(**tracer, Wait::at_most(50ms));
  ASSERT_FALSE(answers);
  EXPECT_EQ(answers.error().code, Errc::timed_out) << to_text(answers.error());
  ::kill(pid_, SIGCONT);
  wait_for_rounds(3);
  EXPECT_EQ(shared->wrong, 0U);
  EXPECT_TRUE(inject_chain(**tracer));
}

TEST(SigreturnTest, GadgetsAreFoundInCode) {
  const std::array<std::uint8_t, 16> code{0x90, 0x0F, 0x05, 0xC3, 0x48, 0xC7, 0xC0, 0x0F,
                                          0,    0,    0,    0x0F, 0x05, 0x90, 0x90, 0x90};
  EXPECT_EQ(find_call(std::as_bytes(std::span(code))), 1U);
  EXPECT_EQ(find_restore(std::as_bytes(std::span(code))), 4U);
  EXPECT_EQ(find_call(std::as_bytes(std::span(code)).subspan(4)), kNoGadget);
  EXPECT_EQ(find_restore({}), kNoGadget);
}

TEST(SigreturnTest, AStateThatMakesNoSenseIsRefused) {
  ThreadState state;
  state.registers.rsp = 0x7FFF'0000'0000;
  EXPECT_EQ(make_scratch(state, 1).error().code, Errc::protocol);
  state.extended.resize(576);
  state.extended[512 + 7] = std::byte{0x40};  // a feature 62, which no processor has
  const auto scratch = make_scratch(state, 1);
  EXPECT_TRUE(scratch) << "it has no room of its own";
  state.extended[512] = std::byte{4};  // AVX, for which there are too few bytes
  EXPECT_EQ(make_scratch(state, 1).error().code, Errc::protocol);
  state.extended.resize(4096);
  state.registers.rsp = 64;
  EXPECT_EQ(make_scratch(state, 1).error().code, Errc::not_supported);
}

}  // namespace
}  // namespace microvmi::host
