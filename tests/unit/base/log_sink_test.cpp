// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/log_sink.hpp>

#include <coppice/base/detail/sync.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

using coppice::log_level;
using coppice::log_sink;
using coppice::report;

namespace {

constexpr std::int64_t noon = 1'732'104'003'114'000'000;  // 2024-11-20 12:00:03.114 UTC

report crash() {
  return {.level = log_level::error,
          .kind = "crash",
          .headline = "ch3 <0.41>  in handle_call(want{})",
          .fields = {{"why", "std::out_of_range: no channel 7"}, {"asked by", "shop <0.57>"}, {"trace", "one\ntwo"}},
          .time = noon};
}

/// Puts a sink in place for a scope.
struct installed {
  const log_sink* before;
  explicit installed(const log_sink& sink) : before(coppice::set_log_sink(&sink)) {}
  ~installed() { coppice::set_log_sink(before); }
};

void remember(void* context, const report& r) {
  static_cast<std::vector<std::string>*>(context)->push_back(r.headline);
}

/// Sends stderr into a pipe for a scope.
class captured_stderr {
 public:
  explicit captured_stderr(bool full = false) : saved_(dup(STDERR_FILENO)) {
    REQUIRE(pipe(ends_) == 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    if (full) {
      fcntl(ends_[1], F_SETFL, O_NONBLOCK);
      const std::string filler(4096, 'x');
      while (write(ends_[1], filler.data(), filler.size()) > 0) {}
      fcntl(ends_[1], F_SETFL, 0);
    }
    dup2(ends_[1], STDERR_FILENO);
  }
  ~captured_stderr() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    if (ends_[0] >= 0) close(ends_[0]);
    close(ends_[1]);
  }
  void close_reader() { close(std::exchange(ends_[0], -1)); }
  std::string take() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends_[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    return text;
  }

 private:
  int saved_;
  int ends_[2];
};

}  // namespace

TEST_CASE("log_sink: the text of a report has a headline with the time, and one indented line for each field") {
  CHECK(crash().text() ==
        "crash  ch3 <0.41>  in handle_call(want{})                                               12:00:03.114\n"
        "  why      std::out_of_range: no channel 7\n"
        "  asked by shop <0.57>\n"
        "  trace    one\n"
        "           two\n");
  CHECK(report{.kind = "progress", .headline = "up"}.text() == "progress  up\n");
}

TEST_CASE("log_sink: long names widen the column and characters count, not bytes") {
  report r{.kind = "stuck", .headline = "x", .fields = {{"überlängen", "1"}, {"why", "2"}}};
  CHECK(r.text() == "stuck  x\n  überlängen 1\n  why        2\n");
}

TEST_CASE("log_sink: the single line holds all and never breaks") {
  CHECK(crash().single_line() ==
        "2024-11-20T12:00:03.114Z [error] crash ch3 <0.41>  in handle_call(want{}); why: std::out_of_range: no channel "
        "7; "
        "asked by: shop <0.57>; trace: one\\ntwo");
}

TEST_CASE("log_sink: the JSON form escapes what it must") {
  report r{.level = log_level::warning,
           .kind = "stuck",
           .headline = "say \"hi\"\\\n\x01",
           .fields = {{"a", "1"}, {"b", "ü"}},
           .time = noon};
  CHECK(r.json() ==
        "{\"time\":\"2024-11-20T12:00:03.114Z\",\"level\":\"warning\",\"kind\":\"stuck\",\"headline\":\"say "
        "\\\"hi\\\"\\\\\\n\\u0001\",\"fields\":{\"a\":\"1\",\"b\":\"ü\"}}");
  CHECK(report{.kind = "k", .headline = "bad \xff\xc3(\xe2\x82 end \xed\xa0\x80"}.json().find(
            "bad \uFFFD\uFFFD(\uFFFD\uFFFD end \uFFFD\uFFFD\uFFFD") != std::string::npos);
}

TEST_CASE("log_sink: JSON for machines: who, name and doing; field names without spaces, each once") {
  const report r{.kind = "crash",
                 .headline = "h",
                 .fields = {{"event", "1"}, {"asked by", "x"}, {"event", "2"}, {"a\"b", "3"}},
                 .who = "<0.41>",
                 .name = "ch3",
                 .doing = "handle_call(\"x\")"};
  CHECK(r.json() ==
        "{\"level\":\"info\",\"kind\":\"crash\",\"headline\":\"h\",\"who\":\"<0.41>\",\"name\":\"ch3\","
        "\"doing\":\"handle_call(\\\"x\\\")\",\"fields\":{\"event\":[\"1\",\"2\"],\"asked_by\":\"x\",\"a\\\"b\":\"3\"}}");
}

TEST_CASE("log_sink: the default sink writes in the form and from the level on that it was told") {
  captured_stderr stderr_pipe;
  const coppice::log_defaults before = coppice::current_log_defaults();
  coppice::set_log_defaults({.form = coppice::report_form::json, .least = log_level::error});
  coppice::write_report(crash());
  coppice::write_report({.level = log_level::warning, .kind = "k", .headline = "not written"});
  CHECK_FALSE(coppice::would_log(log_level::warning));
  coppice::set_log_defaults({.form = coppice::report_form::single_line, .least = log_level::debug});
  coppice::write_report({.level = log_level::debug, .kind = "k", .headline = "two"});
  coppice::set_log_defaults(before);
  CHECK(stderr_pipe.take() == crash().json() + "\n[debug] k two\n");
}

TEST_CASE("log_sink: another default sink stands behind an installed one and obeys the default level") {
  std::vector<std::string> seen, installed_saw;
  const log_sink library{.write = &remember, .context = &seen, .least = log_level::error};
  coppice::set_default_log_sink(&library);
  coppice::write_report({.level = log_level::notice, .kind = "k", .headline = "one"});
  {
    const log_sink mine{.write = &remember, .context = &installed_saw};
    installed here(mine);
    coppice::write_report({.level = log_level::notice, .kind = "k", .headline = "two"});
  }
  coppice::write_report({.level = log_level::info, .kind = "k", .headline = "below"});
  coppice::set_default_log_sink(nullptr);
  CHECK(seen == std::vector<std::string>{"one"});
  CHECK(installed_saw == std::vector<std::string>{"two"});
}

TEST_CASE("log_sink: dates are right at leap days and before 1970") {
  auto line = [](std::int64_t seconds) {
    return report{.kind = "k", .time = seconds * 1'000'000'000}.single_line().substr(0, 24);
  };
  CHECK(line(1'709'164'800) == "2024-02-29T00:00:00.000Z");
  CHECK(line(1'709'251'200) == "2024-03-01T00:00:00.000Z");
  CHECK(line(951'782'400) == "2000-02-29T00:00:00.000Z");
  CHECK(line(4'107'542'400) == "2100-03-01T00:00:00.000Z");
  CHECK(line(-1) == "1969-12-31T23:59:59.000Z");
  CHECK(report{.kind = "k", .time = -1}.single_line().substr(0, 24) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("log_sink: an installed sink gets the reports of its level and above") {
  std::vector<std::string> seen;
  const log_sink sink{.write = &remember, .context = &seen, .least = log_level::notice};
  installed here(sink);
  for (log_level level : {log_level::debug, log_level::info, log_level::notice, log_level::error})
    coppice::write_report({.level = level, .kind = "k", .headline = std::string(to_text(level))});
  CHECK(seen == std::vector<std::string>{"notice", "error"});
  CHECK_FALSE(coppice::would_log(log_level::info));
  CHECK(coppice::would_log(log_level::warning));
}

TEST_CASE("log_sink: installing gives the old one back, null the default") {
  const log_sink sink{};
  CHECK(coppice::set_log_sink(&sink) == nullptr);
  coppice::write_report(crash());  // without a write function: nothing happens
  CHECK(coppice::set_log_sink(nullptr) == &sink);
  CHECK(coppice::would_log(log_level::notice));
  CHECK_FALSE(coppice::would_log(log_level::info));
}

TEST_CASE("log_sink: a sink that throws harms nobody") {
  const log_sink sink{.write = [](void*, const report&) { throw 7; }};
  installed here(sink);
  coppice::write_report(crash());
}

TEST_CASE("log_sink: the default sink writes the text to stderr and leaves errno alone") {
  captured_stderr stderr_pipe;
  errno = 42;
  coppice::write_report(crash());
  CHECK(errno == 42);
  CHECK(stderr_pipe.take() == crash().text());
  coppice::write_report({.level = log_level::info, .kind = "progress", .headline = "quiet"});
  CHECK(stderr_pipe.take().empty());
}

TEST_CASE("log_sink: a stuck stderr loses reports instead of stopping the program, and says so later") {
  captured_stderr stderr_pipe(true);
  coppice::write_report(crash());
  coppice::write_report(crash());
  (void)stderr_pipe.take();
  coppice::write_report(crash());
  CHECK(stderr_pipe.take() == "(lost because stderr took no more: 2)\n" + crash().text());
}

TEST_CASE("log_sink: a stderr that nobody reads any more loses reports and raises no signal") {
  static volatile std::sig_atomic_t signals = 0;
  const auto usual = std::signal(SIGPIPE, [](int) { signals = signals + 1; });
  {
    captured_stderr stderr_pipe;
    stderr_pipe.close_reader();
    errno = 42;
    coppice::write_report(crash());
    CHECK(errno == 42);
  }
  CHECK(signals == 0);
  std::raise(SIGPIPE);                             // one that is meant still arrives
  CHECK(signals == 1);
  std::signal(SIGPIPE, usual);
  captured_stderr stderr_pipe;
  coppice::write_report(crash());
  CHECK(stderr_pipe.take() == "(lost because stderr took no more: 1)\n" + crash().text());
}

TEST_CASE("log_sink: a report larger than a pipe's atomic write arrives whole") {
  captured_stderr stderr_pipe;
  report large = crash();
  large.headline.append(20'000, 'x');
  coppice::write_report(large);
  CHECK(stderr_pipe.take() == large.text());
}

TEST_CASE("log_sink: without a stderr nothing happens, not even to errno") {
  captured_stderr stderr_pipe;
  const int pipe_end = dup(STDERR_FILENO);
  close(STDERR_FILENO);
  errno = 42;
  coppice::write_report(crash());
  CHECK(errno == 42);
  dup2(pipe_end, STDERR_FILENO);
  close(pipe_end);
  coppice::write_report(crash());
  CHECK(stderr_pipe.take() == "(lost because stderr took no more: 1)\n" + crash().text());
}

TEST_CASE("log_sink: a sink may be replaced while others write") {
  namespace sync = coppice::detail::sync;
  static sync::atomic<int> received;
  static sync::futex_word over;
  received.store(0, sync::relaxed);
  over.store(0, sync::relaxed);
  const log_sink counting{.write = [](void*, const report&) { received.fetch_add(1, sync::relaxed); }};
  const log_sink silent{};
  installed here(counting);
  std::vector<sync::thread> writers;
  for (int i = 0; i < 2; ++i)
    writers.emplace_back(
        [](void*) {
          const report r{.level = log_level::error, .kind = "k"};
          for (int n = 1; n < 10'000; ++n) coppice::write_report(r);
          while (over.load(sync::acquire) == 0) sync::futex_wait(over, 0);
          coppice::write_report(r);
        },
        nullptr, "writer");
  for (int n = 0; n < 1'000; ++n) {
    coppice::set_log_sink(&silent);
    coppice::set_log_sink(&counting);
  }
  over.store(1, sync::release);
  sync::futex_wake(&over, 2);
  for (auto& writer : writers) writer.join();
  CHECK(received.load(sync::relaxed) >= 2);              // the last of each: all others may have met the silent one
  CHECK(received.load(sync::relaxed) <= 20'000);
}
