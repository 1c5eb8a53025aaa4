-- SPDX-License-Identifier: Apache-2.0
--
-- For wrk: takes channels and gives them back, and notes any channel that it is handed while it holds it already. A channel
-- counts as held until the request that gives it back is sent; where the answer is that this was not possible, it is sent again.
-- Its argument, if it has one: how many sessions take channels, in turn.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  held, waiting = {}, {}
  sessions, last = tonumber(args[1] or 0), 0
  taken, given, none, twice, wrong = 0, 0, 0, 0, 0
end

function request()
  local channel = table.remove(waiting)
  if channel == nil then
    if sessions == 0 then return wrk.format("POST", "/channels") end
    last = last % sessions + 1
    return wrk.format("POST", "/channels", {["X-Session"] = "session " .. last})
  end
  held[channel] = nil
  return wrk.format("DELETE", "/channels/" .. channel)
end

function response(status, headers, body)
  if status == 201 then
    local channel = tonumber(body:match('"channel":(%d+)'))
    if held[channel] then twice = twice + 1 end
    held[channel] = true
    table.insert(waiting, channel)
    taken = taken + 1
  elseif status == 204 then
    given = given + 1
  elseif status == 503 then
    local kept = tonumber(body:match('"channel":(%d+)'))
    if kept then
      held[kept] = true
      table.insert(waiting, kept)
    else
      none = none + 1
    end
  else
    wrong = wrong + 1
  end
end

function done(summary)
  local function sum(name)
    local n = 0
    for _, thread in ipairs(threads) do n = n + thread:get(name) end
    return n
  end
  print(string.format("taken %d given %d none %d twice %d wrong %d errors %d", sum("taken"), sum("given"), sum("none"), sum("twice"),
    sum("wrong"), summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
