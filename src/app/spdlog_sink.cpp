// SPDX-License-Identifier: Apache-2.0
//
// spdlog_sink: see include/coppice/app/spdlog_sink.hpp. A sink must outlive every report written to it, so each choice is
// kept for the program's life; there are few.
#include <coppice/app/spdlog_sink.hpp>

#include <spdlog/spdlog.h>

#include <stdexcept>

namespace coppice {

namespace {

struct choice {
  std::shared_ptr<spdlog::logger> logger;
  report_form form;
  log_sink sink;
};

spdlog::level::level_enum level_of(log_level level) noexcept {
  switch (level) {
    case log_level::debug: return spdlog::level::debug;
    case log_level::info: return spdlog::level::info;
    case log_level::notice: return spdlog::level::info;     // spdlog has no such level; it is not a warning
    case log_level::warning: return spdlog::level::warn;
    case log_level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string formatted(const report& r, report_form form) {
  switch (form) {
    case report_form::text: {
      std::string text = r.text();
      while (!text.empty() && text.back() == '\n') text.pop_back();   // spdlog ends the line itself
      return text;
    }
    case report_form::single_line: return r.single_line();
    case report_form::json: return r.json();
  }
  return r.single_line();
}

void write(void* raw, const report& r) {
  const auto& c = *static_cast<choice*>(raw);
  const auto level = level_of(r.level);
  if (c.logger->should_log(level)) c.logger->log(level, spdlog::string_view_t(formatted(r, c.form)));
}

}  // namespace

void use_spdlog(const spdlog_options& options) {
  auto logger = options.logger.empty() ? spdlog::default_logger() : spdlog::get(options.logger);
  if (logger == nullptr) throw std::invalid_argument("use_spdlog: spdlog has no logger named \"" + options.logger + '"');
  auto* c = new choice{std::move(logger), options.form, {}};
  c->sink = {.write = &write, .context = c, .least = options.least};
  set_log_sink(&c->sink);
}

}  // namespace coppice
