// SPDX-License-Identifier: Apache-2.0
//
// config_formats of a build with COPPICE_CONFIG=OFF: there are no files, only defaults, environment and command line.
#include "otp/config_layers.hpp"

namespace coppice::detail {

namespace {

[[noreturn]] void refuse(std::string_view name) {
  throw config_error(config_error::bad_file, "", std::string(name), std::string(name) + ": this build reads no files (COPPICE_CONFIG=OFF)");
}

}  // namespace

void read_toml(std::string_view, std::string_view name, std::size_t, config_layers&) { refuse(name); }
void read_json(std::string_view, std::string_view name, std::size_t, config_layers&) { refuse(name); }

}  // namespace coppice::detail
