// SPDX-License-Identifier: Apache-2.0
#include "feed_route.hpp"

#include "feed.hpp"

#include <coppice/app/websocket.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/state/arithmetic.hpp>

namespace switchboard {

using namespace coppice;

namespace {

websocket_options feed_options() { return {.max_message_bytes = 1024, .idle_timeout = 40s}; }

// [listen]
void listen(ws_connection& ws, int generation) {
  const auto me = std::make_shared<listener>();
  all_listeners().register_self(everything, me);       // ends with this process
  const auto serves = whereis(feed::server);
  if (!serves) return ws.close(ws_close_code::try_again_later, "the feed does not run just now");
  monitor(*serves);
  const feed::picture first = call(server_cast<feed>(*serves), feed::look{});
  const auto come_again = [&] { ws.close(ws_close_code::service_restart, "come again"); };
  if (first.generation > generation) return come_again();
  ws.send(*first.json);
  while (ws.receive([](const ws_message&) {},
                    [&](const feed_message& m) {
                      me->waiting.swap(minus, 1);
                      if (*me->is_lost) return ws.close(ws_close_code::try_again_later, "too slow");
                      if (m.number > first.number) ws.send(*m.json);
                    },
                    [&](const routes_renewed& r) {
                      if (r.generation > generation) come_again();
                    },
                    [&](const down&) { come_again(); })) {
  }
}
// [/listen]

}  // namespace

route feed_route(int generation) {
  return websocket("/feed", [generation](ws_connection& ws) { listen(ws, generation); }, feed_options());
}

}  // namespace switchboard
