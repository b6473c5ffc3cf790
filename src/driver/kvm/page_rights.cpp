// SPDX-License-Identifier: Apache-2.0
// Rights in messages of many pages, and views.
#include "driver/kvm/page_rights.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace microvmi::kvm {
namespace {

std::uint8_t bits_of(const Access& access) {
  return static_cast<std::uint8_t>((access.read ? kMayRead : 0) | (access.write ? kMayWrite : 0) |
                                   (access.execute ? kMayExecute : 0));
}

Access access_of(std::uint64_t bits) {
  return {.read = (bits & kMayRead) != 0,
          .write = (bits & kMayWrite) != 0,
          .execute = (bits & kMayExecute) != 0};
}

struct Entry {
  Gfn gfn;
  std::uint8_t bits;
};

Bytes entries_of(std::span<const Entry> entries) {
  Bytes out(entries.size() * PageEntry::kSize);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    store(out, i * PageEntry::kSize, 8, to_integer(entries[i].gfn) * kPageSize);
    store(out, i * PageEntry::kSize + 8, 1, entries[i].bits);
  }
  return out;
}

// The bytes of `tails` have to outlive the requests.
std::vector<Request> requests_for(std::span<const Entry> entries, SlatView view,
                                  std::size_t at_once, std::vector<Bytes>& tails) {
  std::vector<Request> out;
  for (std::size_t at = 0; at < entries.size(); at += at_once)
    tails.push_back(entries_of(entries.subspan(at, std::min(at_once, entries.size() - at))));
  for (const Bytes& tail : tails) {
    Request request(Command::set_page_access, {{Field::view, static_cast<std::uint16_t>(view)},
                                               {Field::count, tail.size() / PageEntry::kSize}});
    request.tail = tail;
    out.push_back(std::move(request));
  }
  return out;
}

bool all_good(std::span<const Request> requests) {
  return std::ranges::all_of(requests,
                             [](const Request& one) { return one.answered && one.code == 0; });
}

// Frames that have an address; and hardware has no page that is written to and not read.
Expected<void> check(std::span<const PageRights> pages) {
  for (const PageRights& page : pages) {
    if (to_integer(page.gfn) > ~0ULL / kPageSize)
      return fail(Errc::invalid_argument,
                  fmt::format("there is no frame {:#x}", to_integer(page.gfn)));
    if (page.allowed.write && !page.allowed.read)
      return fail(Errc::invalid_argument,
                  fmt::format("page {:#x} cannot be written where it cannot be read",
                              to_integer(page.gfn) * kPageSize),
                  Gpa{to_integer(page.gfn) * kPageSize}, "take away the write too");
  }
  return {};
}

}  // namespace

Expected<void> PageControl::check_view(SlatView view) const {
  if (view == kDefaultView || abilities_.views) return {};
  return fail(Errc::not_supported, "this kernel has one view of memory only");
}

std::uint8_t PageControl::known(Page page) const {
  const auto found = changed_.find(page);
  return found == changed_.end() ? kMayAll : found->second;
}

void PageControl::remember(Page page, std::uint8_t bits) {
  if (bits == kMayAll)
    changed_.erase(page);
  else
    changed_[page] = bits;
}

Expected<Access> PageControl::allowed(Gfn gfn, SlatView view) {
  if (auto done = check_view(view); !done) return std::unexpected(std::move(done.error()));
  // Where the kernel cannot be asked, nobody else can have changed it either.
  if (!row(abilities_.dialect, Command::get_page_access).known)
    return access_of(known({view, gfn}));
  Bytes gpa(8);
  store(gpa, 0, 8, to_integer(gfn) * kPageSize);
  Request request(Command::get_page_access,
                  {{Field::view, static_cast<std::uint16_t>(view)}, {Field::count, 1}});
  request.tail = gpa;
  const auto data = connection_.call(request, answer_wait());
  if (!data) return std::unexpected(data.error());
  return access_of(load(*data, 0, 1));
}

Expected<void> PageControl::allow(std::span<const PageRights> pages, SlatView view) {
  if (auto done = check_view(view); !done) return done;
  if (auto done = check(pages); !done) return done;
  std::vector<Entry> entries;
  entries.reserve(pages.size());
  for (const PageRights& page : pages) entries.push_back({page.gfn, bits_of(page.allowed)});
  std::vector<Bytes> tails;
  auto requests = requests_for(entries, view, PageEntry::kMost, tails);
  auto done = connection_.run(requests, answer_wait());
  if (done && !all_good(requests)) return allow_in_turn(pages, view);
  // Without an answer it may be done or not: it is remembered, so that it is undone.
  for (const Entry& entry : entries) remember({view, entry.gfn}, entry.bits);
  return done;
}

// The kernel tries all and tells no place: one by one shows where it fails, and what is behind that
// gets back what it had.
Expected<void> PageControl::allow_in_turn(std::span<const PageRights> pages, SlatView view) {
  std::vector<Entry> entries;
  for (const PageRights& page : pages) entries.push_back({page.gfn, bits_of(page.allowed)});
  std::vector<Bytes> tails;
  auto requests = requests_for(entries, view, 1, tails);
  if (auto done = connection_.run(requests, answer_wait()); !done) return done;
  const auto bad = std::ranges::find_if(requests, [](const Request& one) { return one.code != 0; });
  const auto good = static_cast<std::size_t>(bad - requests.begin());
  for (std::size_t i = good; i < entries.size(); ++i)
    entries[i].bits = known({view, entries[i].gfn});
  std::vector<Bytes> old_tails;
  auto restore = requests_for(std::span(entries).subspan(good), view, 1, old_tails);
  static_cast<void>(connection_.run(restore, answer_wait()).has_value());
  for (std::size_t i = 0; i < good; ++i) remember({view, entries[i].gfn}, entries[i].bits);
  if (bad == requests.end()) return {};
  Error error = error_of(bad->code, fmt::format("KVMi set_page_access of page {:#x}",
                                                to_integer(entries[good].gfn) * kPageSize));
  error.where = Gpa{to_integer(entries[good].gfn) * kPageSize};
  return std::unexpected(std::move(error));
}

Expected<SlatView> PageControl::create_view() {
  if (!abilities_.views) return std::unexpected(check_view(SlatView{1}).error());
  const auto data = connection_.call(Request(Command::create_view), answer_wait());
  if (!data) return std::unexpected(data.error());
  const SlatView view{static_cast<std::uint16_t>(
      field_of(row(abilities_.dialect, Command::create_view).answer, *data, Field::view))};
  views_.insert(view);
  return view;
}

Expected<void> PageControl::destroy_view(SlatView view) {
  const auto done = connection_.call(
      Request(Command::destroy_view, {{Field::view, static_cast<std::uint16_t>(view)}}),
      answer_wait());
  if (!done) return std::unexpected(done.error());
  views_.erase(view);
  std::erase_if(changed_, [view](const auto& one) { return one.first.view == view; });
  return {};
}

Expected<SlatView> PageControl::view_of(VcpuId vcpu) {
  const auto index = vcpus_.index_of(vcpu);
  if (!index) return std::unexpected(index.error());
  if (!abilities_.views) return kDefaultView;
  const auto data =
      connection_.call(Request(Command::get_view, {{Field::vcpu, *index}}), answer_wait());
  if (!data) return std::unexpected(data.error());
  return SlatView{static_cast<std::uint16_t>(
      field_of(row(abilities_.dialect, Command::get_view).answer, *data, Field::view))};
}

Expected<void> PageControl::switch_view(VcpuId vcpu, SlatView view) {
  if (auto done = check_view(view); !done) return done;
  std::vector<std::uint16_t> targets;
  if (vcpu == kEveryVcpu) {
    for (std::uint32_t i = 0; i < vcpus_.count(); ++i)
      targets.push_back(static_cast<std::uint16_t>(i));
  } else {
    const auto index = vcpus_.index_of(vcpu);
    if (!index) return std::unexpected(index.error());
    targets.push_back(*index);
  }
  for (const std::uint16_t target : targets) {
    if (!abilities_.views) continue;
    const auto done = connection_.call(
        Request(Command::set_view,
                {{Field::vcpu, target}, {Field::view, static_cast<std::uint16_t>(view)}}),
        answer_wait());
    if (!done) return std::unexpected(done.error());
    if (view == kDefaultView)
      switched_.erase(target);
    else
      switched_.insert(target);
  }
  return {};
}

void PageControl::close() {
  constexpr std::chrono::milliseconds kMost{2'000};
  const Wait wait = Wait::at_most(std::min(kMost, answer_time_));
  std::vector<Request> requests;
  for (const std::uint16_t vcpu : switched_)
    requests.push_back(Request(Command::set_view, {{Field::vcpu, vcpu}, {Field::view, 0}}));
  std::map<SlatView, std::vector<Entry>> pages;
  for (const auto& [page, bits] : changed_) pages[page.view].push_back({page.gfn, kMayAll});
  std::map<SlatView, std::vector<Bytes>> tails;
  for (const auto& [view, entries] : pages)
    for (Request& one : requests_for(entries, view, PageEntry::kMost, tails[view]))
      requests.push_back(std::move(one));
  static_cast<void>(connection_.run(requests, wait).has_value());
  // Only when no vCPU is in one of them any more.
  requests.clear();
  for (const SlatView view : views_)
    requests.push_back(
        Request(Command::destroy_view, {{Field::view, static_cast<std::uint16_t>(view)}}));
  static_cast<void>(connection_.run(requests, wait).has_value());
}

}  // namespace microvmi::kvm
