// SPDX-License-Identifier: Apache-2.0
//
// spdlog_sink: sends the runtime's reports to an spdlog logger: its files, rotation, colours and levels. In the component
// coppice::spdlog; the core knows only the hook `log_sink`, and this header does not include spdlog either.
#pragma once

#include <coppice/base/log_sink.hpp>

#include <string>

namespace coppice {

/// How a report is written into one log message.
enum class report_form { text, single_line, json };

struct spdlog_options {
  std::string logger{};                          ///< a registered spdlog logger's name; empty: the default logger
  report_form form = report_form::text;
  log_level least = log_level::info;             ///< reports below this level are not offered
};

/// From now on reports go to spdlog. Later calls replace the earlier choice.
/// Fails:   std::invalid_argument when no logger has that name.
/// Thread:  any; a logger that is removed from spdlog's registry stays in use here.
/// Late:    what the logger throws is dropped; an asynchronous logger keeps the writer from waiting for the disk.
/// Spec:    GS-155.
void use_spdlog(const spdlog_options& options = {});

}  // namespace coppice
