// SPDX-License-Identifier: Apache-2.0
#include "feed_route.hpp"

#include "feed.hpp"

#include <coppice/app/websocket.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/state/arithmetic.hpp>

namespace switchboard {

using namespace coppice;

namespace {

websocket_options feed_options() { return {.max_message_bytes = 1024, .idle_timeout = 40s, .hand_over = true}; }

// [listen]
void listen(ws_connection& ws) {
  const auto me = std::make_shared<listener>();
  all_listeners().register_self(everything, me);       // ends with this process
  const auto serves = whereis(feed::server);
  if (!serves) return ws.close(ws_close_code::try_again_later, "the feed does not run just now");
  monitor(*serves);
  const feed::picture first = call(server_cast<feed>(*serves), feed::look{});
  ws.send(*first.json);                                // to whom a handler before has told it, too: much may have happened between the two
  while (ws.receive([](const ws_message&) {},
                    [&](const feed_message& m) {
                      me->waiting.swap(minus, 1);
                      if (*me->is_lost) return ws.close(ws_close_code::try_again_later, "too slow");
                      if (m.number > first.number) ws.send(*m.json);
                    },
                    [&](const down&) { ws.close(ws_close_code::service_restart, "come again"); })) {
  }
}
// [/listen]

}  // namespace

route feed_route() { return websocket("/feed", &listen, feed_options()); }

}  // namespace switchboard
