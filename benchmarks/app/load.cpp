// SPDX-License-Identifier: Apache-2.0
#include "app/load.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "support/bench.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace app_bench {

namespace {

/// What stands in `text` behind `before`, as a number; 0 if it does not occur.
double number_behind(const std::string& text, std::string_view before) {
  const std::size_t at = text.find(before);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + before.size(), nullptr);
}

/// `1.23ms` as microseconds.
double microseconds(const std::string& text, std::string_view before) {
  const std::size_t at = text.find(before);
  if (at == std::string::npos) throw std::runtime_error("wrk did not say what was asked for");
  char* end = nullptr;
  const double value = std::strtod(text.c_str() + at + before.size(), &end);
  const std::string_view unit(end, 2);
  return value * (unit == "us" ? 1 : unit == "ms" ? 1e3 : 1e6);
}

/// The CPU time of an OS process in seconds.
double cpu_of(pid_t who) {
  std::ifstream file("/proc/" + std::to_string(who) + "/schedstat");
  double ns = 0;
  file >> ns;
  return ns * 1e-9;
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  const bool found = ::bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0 && ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) == 0;
  ::close(fd);
  if (!found) throw std::runtime_error("there is no free port");
  return ntohs(a.sin_port);
}

void wait_for_port(int port) {
  for (int i = 0; i < 500; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(static_cast<std::uint16_t>(port));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_open = ::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0;
    ::close(fd);
    if (is_open) return;
    ::usleep(10'000);
  }
  throw std::runtime_error("nobody listens on port " + std::to_string(port));
}

}  // namespace

load_result run_wrk(const std::string& url, int connections, double seconds) {
  const auto whole = static_cast<int>(std::max(1.0, seconds));
  const bench::command_result r = bench::run_command({"wrk", "-t1", "-c" + std::to_string(connections), "-d" + std::to_string(whole) + "s",
                                                      "--latency", url}, seconds + 30);
  if (r.status != 0) throw std::runtime_error("wrk ended with " + std::to_string(r.status));
  double failed = number_behind(r.output, "Non-2xx or 3xx responses: ");
  for (const char* kind : {"Socket errors: connect ", ", read ", ", write ", ", timeout "}) failed += number_behind(r.output, kind);
  return {.rate = number_behind(r.output, "Requests/sec:"), .p99 = microseconds(r.output, "99%"), .failed = static_cast<std::uint64_t>(failed)};
}

other_program::other_program(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const int problem = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  output_ = ::fdopen(ends[0], "r");
  if (problem == 0) return;
  std::fclose(output_);
  throw std::runtime_error(arguments[0] + " cannot be started");
}

other_program::~other_program() { end(); }

void other_program::end() {
  if (output_ == nullptr) return;
  std::fclose(output_);
  output_ = nullptr;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

std::string other_program::line() {
  char text[256];
  if (std::fgets(text, sizeof text, output_) == nullptr) return {};
  std::string said(text);
  if (said.ends_with('\n')) said.pop_back();
  return said;
}

double other_program::cpu_seconds() const {
  double all = cpu_of(pid_);
  std::ifstream children("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children");
  for (pid_t child = 0; children >> child;) all += cpu_of(child);
  return all;
}

scratch_folder::scratch_folder() : path_("/tmp/coppice_bench_XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder for files");
}

scratch_folder::~scratch_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

const coppice::tls_certificate& certificate() {
  static const scratch_folder folder;
  static const coppice::tls_certificate made = [] {
    coppice::tls_certificate files{.certificate_file = folder.file("cert.pem"), .key_file = folder.file("key.pem")};
    const bench::command_result r =
        bench::run_command({"sh", "-c", "exec openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
                                        " -keyout \"$0\" -out \"$1\" 2> /dev/null", files.key_file, files.certificate_file}, 10);
    if (r.status != 0) throw std::runtime_error("openssl made no certificate");
    return files;
  }();
  return made;
}

nginx::nginx(bool secure) {
  const int port = free_port();
  const std::string files = "ssl_certificate " + certificate().certificate_file + "; ssl_certificate_key " + certificate().key_file + ';';
  std::ofstream(folder_.file("nginx.conf"))
      << "daemon off; worker_processes 1; pid " << folder_.file("pid") << "; error_log /dev/null; events { worker_connections 4096; }\n"
      << "http { access_log off; keepalive_requests 1000000000; default_type text/plain;\n"
      << "client_body_temp_path " << folder_.file("body") << "; proxy_temp_path " << folder_.file("proxy") << "; fastcgi_temp_path "
      << folder_.file("fastcgi") << "; uwsgi_temp_path " << folder_.file("uwsgi") << "; scgi_temp_path " << folder_.file("scgi") << ";\n"
      << "server { listen 127.0.0.1:" << port << (secure ? " ssl; " + files : ";") << " location / { return 200 \"hello\"; } } }\n";
  url_ = (secure ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port) + '/';
  const bool is_here = std::filesystem::exists("/usr/sbin/nginx");
  if (!is_here) throw std::runtime_error("nginx is not installed (Debian: nginx-light)");
  program_ = std::make_unique<other_program>(
      std::vector<std::string>{"/usr/sbin/nginx", "-p", folder_.file(""), "-c", folder_.file("nginx.conf"), "-e", "/dev/null"});
  wait_for_port(port);
}

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t affordable_connections(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(wanted, limit.rlim_cur > 400 ? limit.rlim_cur - 200 : 200);
}

int be_successor(int argc, char** argv) {
  if (argc < 4) return 2;
  coppice::runtime rt;
  const coppice::runtime_scope here(rt);
  const coppice::http_server server = coppice::run_server(coppice::router{coppice::get("/", [] { return coppice::text("hello"); })},
                                                          {.port = std::atoi(argv[3]), .take_over = argv[2], .in = &rt});
  std::printf("%u\n", server.port());
  std::fflush(stdout);
  const coppice::reference end = coppice::monitor(server.door());
  static_cast<void>(coppice::receive<coppice::down>());
  static_cast<void>(end);
  return 0;
}

running_successor start_successor(const std::string& door, int port) {
  auto program = std::make_unique<other_program>(
      std::vector<std::string>{"/proc/self/exe", std::string(successor_argument), door, std::to_string(port)});
  const int found = std::atoi(program->line().c_str());
  if (found == 0) throw std::runtime_error("a successor did not start");
  return {.program = std::move(program), .port = found};
}

}  // namespace app_bench
