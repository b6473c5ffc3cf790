// SPDX-License-Identifier: Apache-2.0
// The coredump connector: opens the file, chooses the format, hands over what it made of it.
#include <utility>

#include "connector/coredump/format.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi::coredump_connector {
namespace {

class Coredump final : public Driver {
 public:
  explicit Coredump(Image image) : image_(std::move(image)) { image_.info.connector = "coredump"; }
  PhysicalMemory& memory() override { return *image_.memory; }
  GuestInfo info() const override { return image_.info; }

 private:
  Image image_;
};

Expected<const CoredumpParams*> args_of(const DriverInitParams& params) {
  const CoredumpParams* args = params.memflow && params.memflow->args
                                   ? std::get_if<CoredumpParams>(&*params.memflow->args)
                                   : nullptr;
  if (args) return args;
  return fail(Errc::not_applicable, "memflow.coredump.filepath is not given");
}

Expected<Source> source_of(const CoredumpParams& args, const InitOptions& options) {
  auto file = host::MappedFile::open(*args.filepath);
  if (!file) return std::unexpected(file.error());
  return Source{std::make_shared<const host::MappedFile>(*std::move(file)), args, options};
}

Expected<Readiness> probe(const DriverInitParams& params) {
  const auto args = args_of(params);
  if (!args) return std::unexpected(args.error());
  const InitOptions quiet;
  const auto source = source_of(**args, quiet);
  if (!source) return std::unexpected(source.error());
  const auto format = choose(*source);
  if (!format) return std::unexpected(format.error());
  const auto index = static_cast<std::size_t>((*format)->type());
  return Readiness{.note = std::string(kDumpFormatNames[index]) + " image"};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const auto args = args_of(params);
  if (!args) return std::unexpected(args.error());
  const auto source = source_of(**args, options);
  if (!source) return std::unexpected(source.error());
  const auto format = choose(*source);
  if (!format) return std::unexpected(format.error());
  auto image = (*format)->open(*source);
  if (!image) return std::unexpected(std::move(image.error()));
  return std::make_unique<Coredump>(*std::move(image));
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{
    .type = Connector::coredump, .summary = "Memory image in a file", .probe = probe, .open = open};

}  // namespace microvmi::coredump_connector
