// SPDX-License-Identifier: Apache-2.0
//
// spdlog_sink: sends the runtime's reports to an spdlog logger: its files, rotation, colours and levels. In the component
// coppice::spdlog; the core knows only the hook `log_sink`, and this header does not include spdlog either.
//
// A program that links coppice::spdlog has spdlog as its default sink without a word: coloured on stderr, in the form and from
// the level on that set_log_defaults says (docs/decisions/0006-reports.md). use_spdlog is for a logger of its own.
#pragma once

#include <coppice/base/log_sink.hpp>

#include <string>

namespace coppice {

struct spdlog_options {
  std::string logger{};                          ///< a registered spdlog logger's name; empty: the default logger
  report_form form = report_form::text;
  log_level least = log_level::info;             ///< reports below this level are not offered
};

/// spdlog, with a logger "coppice" on stderr, stands behind the default sink. Linking the component does this before main.
/// Thread:  any.
void make_spdlog_the_default();

/// From now on reports go to spdlog. Later calls replace the earlier choice.
/// Fails:   std::invalid_argument when no logger has that name.
/// Thread:  any; a logger that is removed from spdlog's registry stays in use here.
/// Late:    what the logger throws is dropped; an asynchronous logger keeps the writer from waiting for the disk.
/// Spec:    GS-155.
void use_spdlog(const spdlog_options& options = {});

}  // namespace coppice
