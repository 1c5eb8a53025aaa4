// SPDX-License-Identifier: Apache-2.0
//
// Files of a folder over a real socket: ranges, conditions, and what must not be opened.
#include <coppice/app/static_files.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "app/byte_range.hpp"
#include "app/file_root.hpp"
#include "app/http_date.hpp"
#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

#include <sys/stat.h>
#include <unistd.h>

using namespace coppice;
using namespace coppice::testing;
using coppice::internal::byte_ranges;
namespace fs = std::filesystem;

namespace {

/// A folder with a few files, and a secret beside it.
struct folder {
  folder() : path(fs::temp_directory_path() / ("coppice_files_" + std::to_string(::getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path / "root" / "sub");
    write("secret.txt", "secret");
    write("root/index.html", "<p>home</p>");
    write("root/hello.txt", "0123456789");
    write("root/empty", "");
    write("root/.hidden", "hidden");
    write("root/sub/index.html", "sub");
    write("root/sub/a b.css", "css");
    write("root/large.bin", std::string(3'000'000, 'x') + "end");
    fs::create_directory(path / "root" / "bare");
    fs::create_symlink("../../secret.txt", path / "root" / "sub" / "out");
    fs::create_symlink((path / "secret.txt").c_str(), path / "root" / "absolute");
    fs::create_symlink("..", path / "root" / "up");
    fs::create_symlink("hello.txt", path / "root" / "inside");
    REQUIRE(::mkfifo((path / "root" / "pipe").c_str(), 0600) == 0);
  }
  ~folder() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
  fs::path path;
};

struct file_world : folder, http_world {
  explicit file_world(file_options o = {})
      : http_world(
            router{files("/f/*", (path / "root").string(), std::move(o)), get("/", [] { return text("hello"); })}) {}
  http_answer ask_for(std::string_view name, std::string_view lines = {}) const {
    return ask(get_request("/f/" + std::string(name), lines));
  }
  int status_of(std::string_view name, std::string_view lines = {}) const { return ask_for(name, lines).status; }
};

/// The parts as text, or `whole`, or `none`.
std::string judged(std::string_view text, std::uint64_t size = 1000, std::uint64_t part_cost = 10) {
  const byte_ranges r = internal::parse_byte_ranges(text, size, part_cost);
  if (r.kind != byte_ranges::parts) return r.kind == byte_ranges::whole ? "whole" : "none";
  std::string all;
  for (const auto& p : r.all) all += (all.empty() ? "" : " ") + std::to_string(p.first) + "-" + std::to_string(p.last);
  return all;
}

}  // namespace

TEST_CASE("a file is sent with its type, its tag and its date") {
  file_world w;
  const http_answer a = w.ask_for("hello.txt");
  CHECK(a.status == 200);
  CHECK(a.body == "0123456789");
  CHECK(a.header("Content-Type") == "text/plain; charset=utf-8");
  CHECK(a.header("Accept-Ranges") == "bytes");
  CHECK(a.header("ETag").starts_with('"'));
  CHECK(internal::parse_http_date(a.header("Last-Modified")).has_value());
  CHECK(w.ask_for("empty").body.empty());
  CHECK(w.ask_for("empty").header("Content-Type") == "application/octet-stream");
  CHECK(w.ask_for("sub/a%20b.css").body == "css");
  CHECK(w.ask_for("inside").body == "0123456789");
  CHECK(w.ask("POST /f/hello.txt HTTP/1.1\r\nHost: x\r\n\r\n").status == 405);
}

TEST_CASE("a large file goes through whole, in parts, and its head alone") {
  file_world w;
  http_client c = w.client();
  for (int i = 0; i < 3; ++i) {
    const http_answer a = c.ask(get_request("/f/large.bin"));
    CHECK(a.header("Content-Length") == "3000003");
    CHECK((a.body == std::string(3'000'000, 'x') + "end"));
  }
  CHECK(c.ask(get_request("/f/large.bin", "Range: bytes=2999999-\r\n")).body == "xend");
  CHECK(c.ask(get_request("/f/large.bin", "Range: bytes=100000-2100000\r\n")).body.size() == 2'000'001);
  c.send("HEAD /f/large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n");
  const http_answer head = c.read(true);
  CHECK(head.status == 200);
  CHECK(head.header("Content-Length") == "3000003");
  c.send("HEAD /f/hello.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(c.read(true).header("Content-Length") == "10");
  CHECK(c.ask(get_request("/")).body == "hello");
  http_client old = w.client();
  old.send("GET /f/large.bin HTTP/1.0\r\n\r\n");
  CHECK(old.read().body.size() == 3'000'003);
  CHECK(old.is_closed());
  CHECK(w.server.statistics().failed == 0);
}

TEST_CASE("a client that takes its time, or leaves, keeps nobody and no descriptor") {
  static std::atomic<int> signals = 0;
  const auto usual = std::signal(SIGPIPE, [](int) { ++signals; });
  file_world w;
  for (int i = 0; i < 20; ++i) {
    http_client c = w.client();
    for (int k = 0; k < 5; ++k) c.send(get_request("/f/large.bin"));
    CHECK(c.read(true).status == 200);
    c.reset();
  }
  CHECK(eventually([&] { return w.server.statistics().connections == 0; }));
  CHECK(w.ask_for("hello.txt").status == 200);
  std::size_t open_files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd"))
    if (std::error_code ec; fs::read_symlink(entry.path(), ec).string().ends_with("large.bin")) ++open_files;
  CHECK(open_files == 0);
  std::signal(SIGPIPE, usual);
  CHECK(signals == 0);
}

TEST_CASE("a part of a file is 206, one behind its end 416, anything else the whole") {
  file_world w;
  const auto part = [&](std::string_view range) {
    return w.ask_for("hello.txt", "Range: " + std::string(range) + "\r\n");
  };
  CHECK(part("bytes=2-4").status == 206);
  CHECK(part("bytes=2-4").body == "234");
  CHECK(part("bytes=2-4").header("Content-Range") == "bytes 2-4/10");
  CHECK(part("bytes=7-").body == "789");
  CHECK(part("bytes=-3").body == "789");
  CHECK(part("bytes=0-99").header("Content-Range") == "bytes 0-9/10");
  CHECK(part("bytes=10-").status == 416);
  CHECK(part("bytes=10-").header("Content-Range") == "bytes */10");
  CHECK(part("bytes=0-1,4-5").body == "012345");   // one part: its own head would be longer than what lies between
  CHECK(part("bytes=0-1,4-5").header("Content-Range") == "bytes 0-5/10");
  CHECK(part("chunks=0-1").status == 200);
  CHECK(w.ask_for("empty", "Range: bytes=0-\r\n").status == 416);
}

TEST_CASE("ranges mean what the standard says") {
  CHECK(judged("bytes=0-0", 10) == "0-0");
  CHECK(judged("Bytes = 1 - 3", 10) == "1-3");
  CHECK(judged("bytes=9-9", 10) == "9-9");
  CHECK(judged("bytes=-99", 10) == "0-9");
  CHECK(judged("bytes=-0", 10) == "none");
  CHECK(judged("bytes=0-18446744073709551615", 10) == "0-9");
  CHECK(judged("bytes=0-99999999999999999999999999", 10) == "0-9");
  CHECK(judged("bytes=99999999999999999999999999-", 10) == "none");
  CHECK(judged("bytes=-99999999999999999999999999", 10) == "0-9");
  for (const char* none : {"", "bytes", "bytes=", "bytes=-", "bytes=5", "bytes=5-4", "bytes=a-b", "bytes=1-2-3",
                           "bytes=+1-2", "bytes=0x1-2", "bytes=--1", "lines=1-2", "bytes=,", "bytes=1-2,x", "bytes=1-2;3-4", "bytes=1-2 3-4"})
    CHECK_MESSAGE(judged(none, 10) == "whole", none);
  CHECK(judged("bytes=0-", 0) == "none");
  CHECK(judged("bytes=-1", 0) == "none");
  CHECK(judged("bytes=1-2,", 10) == "1-2");        // a list of HTTP may have empty places
  CHECK(judged("bytes= , 1-2 ,, 5-6", 10, 0) == "1-2 5-6");
}

TEST_CASE("several ranges are as many parts as are worth it") {
  CHECK(judged("bytes=0-9,100-109,-10") == "0-9 100-109 990-999");
  CHECK(judged("bytes=100-109,0-9") == "100-109 0-9");             // in the order of the request
  CHECK(judged("bytes=0-9,5-20") == "0-20");
  CHECK(judged("bytes=0-9,20-29") == "0-29");                      // ten between them
  CHECK(judged("bytes=0-9,21-29") == "0-9 21-29");
  CHECK(judged("bytes=21-29,0-9") == "21-29 0-9");
  CHECK(judged("bytes=500-509,0-9,100-109,5-104") == "500-509 0-109");
  CHECK(judged("bytes=100-109,0-9,5-104") == "0-109");
  CHECK(judged("bytes=0-0,0-0,0-0") == "0-0");
  CHECK(judged("bytes=0-9,2000-2010") == "0-9");                   // behind the end: left out
  CHECK(judged("bytes=2000-,3000-,-0") == "none");
  CHECK(judged("bytes=0-489,511-999") == "0-489 511-999");
  CHECK(judged("bytes=0-489,510-999") == "whole");                 // both together would not be shorter
  CHECK(judged("bytes=0-,0-,0-,0-") == "0-999");
  std::string sixteen = "bytes=0-0";
  for (int i = 1; i < 16; ++i) sixteen += "," + std::to_string(20 * i) + "-" + std::to_string(20 * i);
  CHECK(judged(sixteen) == judged(sixteen + ","));
  CHECK(judged(sixteen).ends_with("300-300"));
  CHECK(judged(sixteen + ",990-990") == "whole");
  CHECK(judged(sixteen + ",9990-9990") == "whole");
  constexpr std::uint64_t largest = ~std::uint64_t{0};
  CHECK(judged("bytes=0-0,-1", largest) == "0-0 18446744073709551614-18446744073709551614");
}

TEST_CASE("several parts of a file are told from each other") {
  file_world w;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += static_cast<char>('a' + i % 26);
  w.write("root/letters.txt", text);
  const http_answer a = w.ask_for("letters.txt", "Range: bytes=1000-1009,0-4,-3\r\n");
  CHECK(a.status == 206);
  const std::string type = a.header("Content-Type");
  const std::string_view mark = "multipart/byteranges; boundary=";
  REQUIRE(type.starts_with(mark));
  const std::string boundary = type.substr(mark.size());
  CHECK(boundary.size() >= 16);
  CHECK(a.header("Content-Range").empty());
  const auto part = [&](std::string_view range, std::string_view bytes) {
    return "--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes " + std::string(range) + "/2000\r\n\r\n" + std::string(bytes) + "\r\n";
  };
  CHECK(a.body == part("1000-1009", text.substr(1000, 10)) + part("0-4", "abcde") + part("1997-1999", text.substr(1997)) + "--" + boundary + "--\r\n");
  CHECK(a.header("Content-Length") == std::to_string(a.body.size()));
  CHECK(a.header("ETag").starts_with('"'));
  CHECK(w.ask_for("letters.txt", "Range: bytes=0-4,-3\r\n").header("Content-Type") != type);  // another one each time
  const std::string tag = a.header("ETag");
  CHECK(w.status_of("letters.txt", "Range: bytes=0-4,-3\r\nIf-Range: " + tag + "\r\n") == 206);
  const http_answer changed = w.ask_for("letters.txt", "Range: bytes=0-4,-3\r\nIf-Range: \"x\"\r\n");
  CHECK(changed.status == 200);
  CHECK(changed.body == text);
  CHECK(w.status_of("letters.txt", "Range: bytes=0-4,-3\r\nIf-None-Match: " + tag + "\r\n") == 304);
  CHECK(w.status_of("letters.txt", "Range: bytes=5000-,6000-\r\n") == 416);
}

TEST_CASE("large parts go through, one after the other, and the connection goes on") {
  file_world w;
  http_client c = w.client();
  for (int i = 0; i < 2; ++i) {
    const http_answer a = c.ask(get_request("/f/large.bin", "Range: bytes=0-999999,1500000-2499999,-4\r\n"));
    CHECK(a.status == 206);
    CHECK(a.header("Content-Length") == std::to_string(a.body.size()));
    CHECK(a.body.size() > 2'000'004);
    CHECK(a.body.size() < 2'001'000);
    CHECK(a.body.find("Content-Range: bytes 1500000-2499999/3000003\r\n\r\nxxx") != std::string::npos);
    CHECK(a.body.find("Content-Range: bytes 2999999-3000002/3000003\r\n\r\nxend\r\n--") != std::string::npos);
  }
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(w.server.statistics().failed == 0);
}

TEST_CASE("conditions on the tag and the date are kept to") {
  file_world w;
  const http_answer now = w.ask_for("hello.txt");
  const std::string tag = now.header("ETag");
  const std::string date = now.header("Last-Modified");
  const std::string old = "Sun, 06 Nov 1994 08:49:37 GMT";
  const http_answer same = w.ask_for("hello.txt", "If-None-Match: " + tag + "\r\n");
  CHECK(same.status == 304);
  CHECK(same.body.empty());
  CHECK(same.header("ETag") == tag);
  CHECK(same.header("Content-Length").empty());
  CHECK(w.status_of("hello.txt", "If-None-Match: \"x\", W/" + tag + "\r\n") == 304);
  CHECK(w.status_of("hello.txt", "If-None-Match: *\r\n") == 304);
  CHECK(w.status_of("hello.txt", "If-None-Match: \"x\"\r\nIf-None-Match: " + tag + "\r\n") == 304);  // several lines are one list
  CHECK(w.status_of("hello.txt", "If-Match: \"x\"\r\nIf-Match: " + tag + "\r\n") == 200);
  CHECK(w.status_of("hello.txt", "If-None-Match: \"x\"\r\nIf-Modified-Since: " + date + "\r\n") == 200);
  CHECK(w.status_of("hello.txt", "If-Modified-Since: " + date + "\r\n") == 304);
  CHECK(w.status_of("hello.txt", "If-Modified-Since: " + old + "\r\n") == 200);
  CHECK(w.status_of("hello.txt", "If-Modified-Since: yesterday\r\n") == 200);
  CHECK(w.status_of("hello.txt", "If-Match: " + tag + "\r\n") == 200);
  CHECK(w.status_of("hello.txt", "If-Match: W/" + tag + "\r\n") == 412);
  CHECK(w.status_of("hello.txt", "If-Match: \"x\"\r\n") == 412);
  CHECK(w.status_of("hello.txt", "If-Unmodified-Since: " + old + "\r\n") == 412);
  CHECK(w.status_of("hello.txt", "If-Unmodified-Since: " + date + "\r\n") == 200);
  const std::string range = "Range: bytes=0-1\r\n";
  CHECK(w.status_of("hello.txt", range + "If-Range: " + tag + "\r\n") == 206);
  CHECK(w.status_of("hello.txt", range + "If-Range: W/" + tag + "\r\n") == 200);
  CHECK(w.status_of("hello.txt", range + "If-Range: \"x\"\r\n") == 200);
  CHECK(w.status_of("hello.txt", range + "If-Range: " + date + "\r\n") == 206);
  CHECK(w.status_of("hello.txt", range + "If-Range: " + old + "\r\n") == 200);
  w.write("root/hello.txt", "changed!");
  CHECK(w.ask_for("hello.txt", "If-None-Match: " + tag + "\r\n").body == "changed!");
}

TEST_CASE("a file of tomorrow was not modified later than now") {
  file_world w;
  fs::last_write_time(w.path / "root" / "hello.txt", fs::file_time_type::clock::now() + std::chrono::hours(24));
  const http_answer a = w.ask_for("hello.txt");
  CHECK(internal::parse_http_date(a.header("Last-Modified")).value() <= internal::parse_http_date(a.header("Date")).value());
}

TEST_CASE("a folder is its index") {
  file_world w;
  CHECK(w.ask_for("").body == "<p>home</p>");
  CHECK(w.ask_for("sub/").body == "sub");
  CHECK(w.ask_for("sub?x=1").status == 301);
  CHECK(w.ask_for("sub?x=1").header("Location") == "/f/sub/?x=1");
  CHECK(w.status_of("bare/") == 404);
  CHECK(w.status_of("hello.txt/") == 404);
  file_world none({.index = {}});
  CHECK(none.status_of("sub/") == 404);
  CHECK(none.status_of("") == 404);
}

TEST_CASE("nothing outside of the folder is opened") {
  file_world w;
  for (const char* path : {"../secret.txt",
                           "sub/../../secret.txt",
                           "%2e%2e/secret.txt",
                           "..%2fsecret.txt",
                           "sub/..%2f..%2fsecret.txt",
                           "%2e%2e%2fsecret.txt",
                           "sub/out",
                           "absolute",
                           "up/secret.txt",
                           "up/root/hello.txt",
                           "/etc/passwd",
                           "%2fetc/passwd",
                           "hello.txt%00.css",
                           "sub//../../secret.txt",
                           "....//secret.txt",
                           ".hidden",
                           ".",
                           "./hello.txt",
                           "nothing",
                           "pipe",
                           "..",
                           "sub/.."}) {
    const http_answer a = w.ask_for(path);
    CHECK_MESSAGE(a.status == 404, path);
    CHECK_MESSAGE(a.body.find("secret") == std::string::npos, path);
  }
  file_world shown({.hidden = true});
  CHECK(shown.ask_for(".hidden").body == "hidden");
  CHECK(shown.status_of("../secret.txt") == 404);
}

TEST_CASE("kernels that do not know how to keep within a folder get it done by steps") {
  const folder f;
  const internal::file_root root((f.path / "root").string());
  CHECK(root.open_by_steps("hello.txt"));
  CHECK(root.open_by_steps("sub/index.html"));
  CHECK(root.open_by_steps("sub//index.html"));
  CHECK(root.open_by_steps("sub/"));
  CHECK(root.open_by_steps(""));
  for (const char* path : {"inside", "sub/out", "absolute", "up/secret.txt", "../secret.txt", "sub/../../secret.txt",
                           "nothing", "hello.txt/x"})
    CHECK_MESSAGE(!root.open_by_steps(path), path);
  CHECK_FALSE(root.open_by_steps(std::string(300, 'x')));
  CHECK(root.open("inside"));
  CHECK_FALSE(root.open("sub/out"));
}

TEST_CASE("a route for files that cannot be is refused when it is made") {
  CHECK_THROWS_AS(files("/f", "/tmp"), std::invalid_argument);
  CHECK_THROWS_AS(files("/f/*", "/nowhere/at/all"), std::system_error);
}

TEST_CASE("names tell types, dates are read as they are written") {
  CHECK(content_type_of("a.HTML") == "text/html; charset=utf-8");
  CHECK(content_type_of("a.tar.gz") == "application/gzip");
  CHECK(content_type_of("dir.css/file") == "application/octet-stream");
  CHECK(content_type_of("") == "application/octet-stream");
  std::string text;
  internal::append_http_date(text, 784111777);
  CHECK(text == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(internal::parse_http_date(text) == 784111777);
  for (const char* obsolete : {"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994"})
    CHECK_MESSAGE(internal::parse_http_date(obsolete) == 784111777, obsolete);
  CHECK(internal::parse_http_date("Wednesday, 16-Jul-31 00:00:00 GMT") == internal::parse_http_date("Wed, 16 Jul 2031 00:00:00 GMT"));
  for (const char* none :
       {"", "Sun, 06 Nov 1994 08:49:37 UTC", "Someday, 06-Nov-94 08:49:37 GMT", "Sunday, 6-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-94",
        "Sun Nov x6 08:49:37 1994", "Sun Nov  0 08:49:37 1994", "Sun Nov 6 08:49:37 1994", "Sun, 06 Xxx 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 unF 1994 08:49:37 GMT"})
    CHECK_MESSAGE(!internal::parse_http_date(none), none);
}
