// SPDX-License-Identifier: Apache-2.0
//
// spdlog_sink: see include/coppice/app/spdlog_sink.hpp. A sink must outlive every report written to it, so each choice is
// kept for the program's life; there are few.
#include <coppice/app/spdlog_sink.hpp>

#include <coppice/base/detail/sync.hpp>

#include <spdlog/details/null_mutex.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <stdexcept>

namespace coppice {

namespace {

struct choice {
  std::shared_ptr<spdlog::logger> logger;
  report_form form;
  log_sink sink;
  choice* before = nullptr;
};
detail::sync::atomic<choice*> last_choice;     // a list, so that all can be found

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

void write(void* raw, const report& r) {
  const auto& c = *static_cast<choice*>(raw);
  const auto level = level_of(r.level);
  if (c.logger->should_log(level)) c.logger->log(level, spdlog::string_view_t(formatted(r, c.form)));
}

/// stderr as the core writes to it: a terminal that is stopped holds up nobody who dies. Colours where there is a terminal.
class stderr_sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& m) override {
    spdlog::memory_buf_t line;
    formatter_->format(m, line);
    std::string text(line.data(), line.size());
    if (is_terminal_ && m.color_range_end > m.color_range_start) {
      text.insert(m.color_range_end, reset);
      text.insert(m.color_range_start, colour_of(m.level));
    }
    put_on_stderr(std::move(text));
  }
  void flush_() override {}

  static constexpr std::string_view reset = "\x1b[0m";
  static std::string_view colour_of(spdlog::level::level_enum level) noexcept {
    return level >= spdlog::level::err ? "\x1b[31m\x1b[1m" : level == spdlog::level::warn ? "\x1b[33m" : "\x1b[32m";
  }
  const bool is_terminal_ = spdlog::details::os::in_terminal(stderr) && spdlog::details::os::is_color_terminal();
};

/// Of this component alone, in no registry: whoever renames or drops spdlog's default logger does not touch it. Reports have
/// their own time and their own level, so that spdlog's pattern adds nothing but the colour of the first line.
struct default_choice {
  spdlog::logger logger{"coppice", std::make_shared<stderr_sink>()};

  default_choice() {
    logger.set_pattern("%^%v%$");
    logger.set_level(spdlog::level::trace);
  }
};

void write_default(void* raw, const report& r) {
  static_cast<default_choice*>(raw)->logger.log(level_of(r.level), spdlog::string_view_t(formatted(r, current_log_defaults().form)));
}

}  // namespace

void make_spdlog_the_default() {
  static const log_sink sink{.write = &write_default, .context = new default_choice};
  set_default_log_sink(&sink);
}

namespace {
[[maybe_unused]] const bool is_the_default = [] {
  try {
    make_spdlog_the_default();
  } catch (...) {                                             // stderr stays
  }
  return true;
}();
}  // namespace

void use_spdlog(const spdlog_options& options) {
  auto logger = options.logger.empty() ? spdlog::default_logger() : spdlog::get(options.logger);
  if (logger == nullptr) throw std::invalid_argument("use_spdlog: spdlog has no logger named \"" + options.logger + '"');
  auto* c = new choice{std::move(logger), options.form, {}};
  c->sink = {.write = &write, .context = c, .least = options.least};
  c->before = last_choice.load(detail::sync::relaxed);
  while (!last_choice.cas_weak(c->before, c, detail::sync::release)) {}
  set_log_sink(&c->sink);
}

}  // namespace coppice

/// The linker is told to want this symbol (src/app/CMakeLists.txt), so that linking the library is enough.
extern "C" const int coppice_spdlog_is_the_default = 1;
