// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/spdlog_sink.hpp>

#include <doctest/doctest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <sstream>
#include <stdexcept>

using namespace coppice;

namespace {

/// A registered logger that writes into a string, and the default sink back at the end.
struct captured {
  std::ostringstream out;
  captured() {
    auto logger = std::make_shared<spdlog::logger>("captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
    logger->set_pattern("%l|%v");
    spdlog::register_logger(logger);
  }
  ~captured() {
    set_log_sink(nullptr);
    spdlog::drop("captured");
  }
};

report crash() {
  report r;
  r.level = log_level::error;
  r.kind = "crash";
  r.headline = "ch3 <0.41>  in handle_call(want{})";
  r.fields.push_back({"why", "std::out_of_range: no channel 7"});
  return r;
}

}  // namespace

TEST_CASE("GS-155 reports reach spdlog with their level, in the form that was chosen") {
  captured log;
  use_spdlog({.logger = "captured", .form = report_form::single_line});
  write_report(crash());
  CHECK(log.out.str() == "error|" + crash().single_line() + "\n");

  log.out.str("");
  use_spdlog({.logger = "captured", .form = report_form::json});
  write_report(crash());
  CHECK(log.out.str() == "error|" + crash().json() + "\n");

  log.out.str("");
  use_spdlog({.logger = "captured", .form = report_form::text});
  write_report(crash());
  CHECK(log.out.str() == "error|" + crash().text());
}

TEST_CASE("GS-155 reports below the level that was asked for are not offered") {
  captured log;
  use_spdlog({.logger = "captured", .least = log_level::error});
  report r = crash();
  r.level = log_level::warning;
  write_report(r);
  CHECK(log.out.str().empty());
  CHECK_FALSE(would_log(log_level::warning));
  write_report(crash());
  CHECK_FALSE(log.out.str().empty());
}

TEST_CASE("a logger that is not registered is an argument error and changes nothing") {
  captured log;
  use_spdlog({.logger = "captured"});
  CHECK_THROWS_AS(use_spdlog({.logger = "nobody"}), std::invalid_argument);
  write_report(crash());
  CHECK_FALSE(log.out.str().empty());
}

TEST_CASE("GS-155 linking spdlog makes it the default sink: stderr, in the default form and from the default level on") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  write_report(crash());
  const log_defaults before = current_log_defaults();
  set_log_defaults({.form = report_form::json, .least = log_level::error});
  write_report(crash());
  CHECK_FALSE(would_log(log_level::warning));
  set_log_defaults(before);
  dup2(saved, STDERR_FILENO);
  close(ends[1]);
  char text[4096];
  std::string all;
  for (ssize_t n; (n = read(ends[0], text, sizeof text)) > 0;) all.append(text, static_cast<std::size_t>(n));
  close(ends[0]);
  close(saved);
  CHECK(all == crash().text() + crash().json() + "\n");
}

TEST_CASE("GS-155 the default of the component is spdlog's, not the core's: taking it away leaves stderr") {
  set_default_log_sink(nullptr);
  CHECK(would_log(log_level::error));
  make_spdlog_the_default();
  CHECK(would_log(log_level::error));
}
