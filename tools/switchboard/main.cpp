// SPDX-License-Identifier: Apache-2.0
//
// switchboard: channels over HTTP. ./run starts it.
//
//     switchboard [port] [--channels N] [--address A]
//
// The first SIGTERM or SIGINT drains and ends the program with 0, a second one ends it at once.
#include "ch3.hpp"
#include "channel_routes.hpp"

#include <coppice/app/http_server.hpp>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace coppice;

constexpr const char* usage =
    "usage: switchboard [port] [--channels N] [--address A]\n"
    "  port           0 to 65535; else $PORT, else 8888; 0 takes any free one\n"
    "  --channels N   how many channels there are: 1 to 1000000, 8 unless told otherwise\n"
    "  --address A    where to listen: 127.0.0.1 unless told otherwise, 0.0.0.0 for every network\n";

constexpr int most_channels = 1'000'000;
constexpr duration drain_time = 10s;

struct arguments {
  int port = 8888;
  int channels = 8;
  std::string address = "127.0.0.1";
  bool help = false;
};

/// What the command line asks for is wrong: main says it, with the usage.
struct usage_error : std::runtime_error {
  using runtime_error::runtime_error;
};

int parse_channels(std::string_view text) {
  int n = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (problem != std::errc{} || end != text.data() + text.size() || n < 1 || n > most_channels)
    throw usage_error("--channels: \"" + std::string(text) + "\" is not a number from 1 to " +
                      std::to_string(most_channels));
  return n;
}

arguments parse(int argc, char** argv) {
  arguments a;
  std::vector<const char*> plain{argc > 0 ? argv[0] : "switchboard"};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 == argc) throw usage_error(std::string(word) + " needs a value");
      return argv[++i];
    };
    if (word == "--help" || word == "-h")
      a.help = true;
    else if (word == "--channels")
      a.channels = parse_channels(value());
    else if (word == "--address")
      a.address = value();
    else if (word.starts_with('-'))
      throw usage_error(std::string(word) + " is not known");
    else
      plain.push_back(argv[i]);
  }
  if (plain.size() > 2) throw usage_error(std::string(plain[2]) + " is one argument too many");
  a.port = port_from(static_cast<int>(plain.size()), plain.data());
  return a;
}

void greet(const http_server& server, const arguments& a) {
  const std::string at = (a.address == "0.0.0.0" ? "localhost" : a.address) + ":" + std::to_string(server.port());
  std::printf(
      "switchboard: %d channels on http://%s\n"
      "  curl -X POST %s/channels             takes the first free channel\n"
      "  curl -X POST '%s/channels?ttl=5s'    takes one for five seconds\n"
      "  curl %s/channels                     lists them\n"
      "  curl -X DELETE %s/channels/1         gives channel 1 back\n"
      "  SIGTERM or ctrl-C ends it in order\n",
      a.channels, at.c_str(), at.c_str(), at.c_str(), at.c_str(), at.c_str());
  std::fflush(stdout);
}

/// The signals that end the program: held back in all threads, awaited in main.
sigset_t hold_back_signals() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  return ending;
}

void serve(const arguments& a) {
  const sigset_t ending = hold_back_signals();  // before the first worker starts: it inherits the mask
  switchboard::ch3::start(a.channels);
  const http_server server = run_server(switchboard::channel_routes(), {.port = a.port, .address = a.address});
  greet(server, a);
  int signal = 0;
  sigwait(&ending, &signal);
  pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);  // the next one takes its usual effect
  std::printf("switchboard: ends, at most %d s for what is under way\n", static_cast<int>(drain_time / 1s));
  std::fflush(stdout);
  const http_stop_result stopped = server.stop(drain_time);
  const http_server_statistics all = server.statistics();
  std::printf("switchboard: answered %llu requests on %llu connections; closed %zu idle, cut off %zu\n",
              static_cast<unsigned long long>(all.requests), static_cast<unsigned long long>(all.accepted),
              stopped.idle_closed, stopped.cut_off);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const arguments a = parse(argc, argv);
    if (a.help)
      std::fputs(usage, stdout);
    else
      serve(a);
    return EXIT_SUCCESS;
  } catch (const usage_error& e) {
    std::fprintf(stderr, "switchboard: %s\n%s", e.what(), usage);
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "switchboard: %s\n", e.what());
    return EXIT_FAILURE;
  }
}
