// SPDX-License-Identifier: Apache-2.0
//
// feed_route: GET /feed, a WebSocket on which everything is told that happens. The first message is the whole state:
//
//     {"event":"state","number":41,"generation":1,"channels":8,"taken":[{"channel":2,"left_ms":4200,"session":"Ann B."}],
//      "may_crash":true,"may_restart":false}
//
// It may come again, as when the routes were made anew or another program has taken over: then it takes the place of everything before. All other messages are changes:
//
//     {"event":"allocated","number":42,"channel":1,"left_ms":null,"session":null}     left_ms null: until it is given back
//     {"event":"freed","number":43,"channel":2,"why":"its time was up"}               or: given back, its session has ended
//     {"event":"ended","number":44,"server":"ch3","why":"…"}                          a server; as a rule it has crashed
//     {"event":"started","number":45,"server":"ch3","process":"<0.41>"}
//
// What a client sends is not looked at. It is closed with
//     1012  the feed was started anew: come again
//     1013  it was too slow: 250 messages wait for it. Come again
//     1001  the program ends
#pragma once

#include <coppice/app/router.hpp>

namespace switchboard {

coppice::route feed_route();

}  // namespace switchboard
