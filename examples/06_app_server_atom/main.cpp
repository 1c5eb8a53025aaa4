// SPDX-License-Identifier: Apache-2.0
//
// A running HTTP server held in an atom: started on a port that comes from an argument, $PORT, or is 8888; stopped; restarted. Twice by
// hand, with a plain stop and with a time limit, and once by the class that does it.
//
//     06_app_server_atom [port]
#include <coppice/app/app_server.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/router.hpp>
#include <coppice/state/atom.hpp>

#include <cstdio>
#include <string>

using namespace coppice;

static bool expect(bool good, const std::string& what) {
  std::printf("%s: %s\n", good ? "ok" : "NOT SO", what.c_str());
  return good;
}

// [app]
/// Routing
const router app{get("/", [] { return text("App Server Running"); })};
// [/app]

namespace plain {

// [plain]
/// Reference to the running server
atom<http_server> app_server_instance;

/// Starts the server and keeps it in the atom.
void app_server_start(int port) { app_server_instance.reset(run_server(app, {.port = port})); }

/// Stops the server, if one runs.
void app_server_stop() {
  if (const http_server running = app_server_instance.get()) running.stop();
  app_server_instance.reset({});
}

/// Determines the port and starts the server on it.
int app_main(int argc = 0, const char* const* argv = nullptr) {
  const int port = port_from(argc, argv);
  app_server_start(port);
  return port;
}

/// Stops it, then starts it again.
void app_server_restart() {
  app_server_stop();
  app_main();
}
// [/plain]

}  // namespace plain

namespace graceful {

using plain::app_server_instance;

// [graceful]
void app_server_stop() {
  if (const http_server running = app_server_instance.get()) {
    running.stop(100ms);                           // what is under way may end, for so long
    app_server_instance.reset({});
    std::puts("INFO: Application server shutting down...");
  }
}

void app_server_start(int port) {
  std::printf("INFO: Starting server on port: %d\n", port);
  app_server_instance.reset(run_server(app, {.port = port}));
}
// [/graceful]

}  // namespace graceful

int main(int argc, char** argv) try {
  bool good = true;

  plain::app_main(argc, argv);
  good &= expect(static_cast<bool>(plain::app_server_instance.get()), "it runs");
  plain::app_server_restart();
  good &= expect(static_cast<bool>(plain::app_server_instance.get()), "it runs again");
  plain::app_server_stop();
  plain::app_server_stop();
  good &= expect(!plain::app_server_instance.get(), "stopping what does not run does nothing");

  graceful::app_server_start(0);
  graceful::app_server_stop();
  good &= expect(!plain::app_server_instance.get(), "stopped within 100 ms");

  // [class]
  app_server server([] { return router{get("/", [] { return text("App Server Running"); })}; });
  const int port = server.start(0);                // 0: any free one
  server.restart();                                // the router is made anew; the port stays open, every connection stays
  good &= expect(server.port() == port && server.instance()->generation == 2, "the second router answers");
  const auto again = server.try_start(port);
  good &= expect(!again && again.error().why() == app_server_error::already_running, again.error().what());
  const http_stop_result stopped = server.stop(100ms);
  good &= expect(stopped.cut_off == 0, "nothing had to be cut off");
  // [/class]
  return good ? 0 : 1;
} catch (const http_server_error& e) {               // not a port, in use by whom, not permitted
  std::printf("%s\n", e.what());
  return 1;
}
