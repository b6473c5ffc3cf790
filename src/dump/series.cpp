// SPDX-License-Identifier: Apache-2.0
// Each dump but the first is one of a guest that is laid over the dump before.
#include <algorithm>
#include <utility>

#include "dump/overlay.hpp"
#include "microvmi/dump.hpp"
#include "microvmi/init.hpp"

namespace microvmi {

struct DumpSeries::State {
  explicit State(Vm& guest, DirtyPages& tracked) : vm(guest), pages(tracked) {}

  Vm& vm;
  DirtyPages& pages;
  std::unique_ptr<Vm> before{};  // the last dump; null where there is no good one
};

namespace {

// A raw image does not say what it is.
std::unique_ptr<Vm> open_image(const std::filesystem::path& file, ImageFormat format) {
  const CoredumpParams params{
      .filepath = std::filesystem::absolute(file),
      .format = format == ImageFormat::raw ? DumpFormat::raw : DumpFormat::detect};
  auto image = init(DriverType::memflow,
                    DriverInitParams{.memflow = MemflowInitParams{.args = ConnectorArgs(params)}});
  return image ? std::make_unique<Vm>(*std::move(image)) : nullptr;
}

// Bytes of guest memory that are in such a dump and were written.
std::uint64_t fresh(const MemoryMap& map, const std::vector<PageRange>& written,
                    ImageFormat format) {
  std::uint64_t sum = 0;
  for (const PageRange& one : written)
    if (format != ImageFormat::raw || one.gpa < map.end_of_memory()) sum += one.size;
  return sum;
}

}  // namespace

DumpSeries::DumpSeries(std::unique_ptr<State> state) : state_(std::move(state)) {}
DumpSeries::DumpSeries(DumpSeries&& other) noexcept = default;

DumpSeries::~DumpSeries() {
  if (state_) static_cast<void>(state_->pages.end().has_value());
}

Expected<DumpSeries> DumpSeries::begin(Vm& vm) {
  const auto pages = vm.dirty_pages();
  if (!pages)
    return fail(pages.error().code, pages.error().message, pages.error().where,
                "connector kvm tells written pages, with intrusive = inject where the kernel has "
                "no soft-dirty bits");
  if (auto begun = (*pages)->begin(); !begun) return std::unexpected(begun.error());
  return DumpSeries(std::make_unique<State>(vm, **pages));
}

std::expected<DumpReport, DumpError> DumpSeries::next(const std::filesystem::path& file,
                                                      const DumpOptions& options) {
  auto written = state_->pages.take();
  if (!written) return std::unexpected(DumpError{std::move(written.error())});
  const std::unique_ptr<Vm> before = std::exchange(state_->before, nullptr);
  std::expected<DumpReport, DumpError> report;
  if (!before) {
    report = dump(state_->vm, file, options);
  } else {
    const auto map = state_->vm.memory().map();
    const std::uint64_t read = fresh(*map, *written, options.format);
    Vm overlaid(state_->vm.driver_type(), std::make_unique<dumper::OverlayGuest>(
                                              state_->vm, before->memory(), *std::move(written)));
    report = dump(overlaid, file, options);
    if (report) report->reused = report->bytes - std::min(report->bytes, read);
  }
  // Pages that could not be read may come back without being written.
  if (report && report->unreadable == 0) state_->before = open_image(file, options.format);
  return report;
}

}  // namespace microvmi
