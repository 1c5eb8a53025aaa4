%% SPDX-License-Identifier: Apache-2.0
%%
%% The rows about supervisors: children under a one_for_one supervisor that never gives up, with logging switched off.
-module(bench_supervisor).
-behaviour(supervisor).
-export([rows/0, init/1, start_telling/1]).

rows() ->
    #{"restart-killed" => {"us", fun restart_killed/1},
      "restart-exception" => {"us", fun restart_exception/1},
      "restart-rate" => {"k/s", fun restart_rate/1},
      "restart-1000" => {"k/s", fun restart_many/1}}.

init({Count, Names}) ->
    Flags = #{strategy => one_for_one, intensity => 1000000000, period => 1},
    {ok, {Flags, [#{id => N, start => start_of(N, Names)} || N <- lists:seq(1, Count)]}}.

start_of(N, named) -> {gen_server, start_link, [{local, name(N)}, bench_server, 0, []]};
start_of(_, {telling, Parent}) -> {?MODULE, start_telling, [Parent]}.

name(N) -> list_to_atom("bench_child_" ++ integer_to_list(N)).

start(Count, Names) ->
    logger:set_primary_config(level, none),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {Count, Names}),
    Supervisor.

%% Microseconds from the crash until the replacement has answered a call, the median.
restart_killed(Scale) ->
    start(1, named),
    median([replaced(fun() -> exit(whereis(name(1)), kill) end) || _ <- lists:seq(1, 4000 div Scale)]).

restart_exception(Scale) ->
    start(1, named),
    median([replaced(fun() -> catch gen_server:call(name(1), crash) end) || _ <- lists:seq(1, 4000 div Scale)]).

replaced(Crash) ->
    Old = whereis(name(1)),
    Begin = erlang:monotonic_time(nanosecond),
    Crash(),
    answered(name(1), Old),
    (erlang:monotonic_time(nanosecond) - Begin) / 1000.

%% Asks until somebody else than Old answers. Lets others run in between: the supervisor may wait for this scheduler.
answered(Name, Old) ->
    case whereis(Name) of
        Pid when is_pid(Pid), Pid =/= Old ->
            case catch gen_server:call(Pid, sum) of
                N when is_integer(N) -> ok;
                _ -> erlang:yield(), answered(Name, Old)
            end;
        _ -> erlang:yield(), answered(Name, Old)
    end.

median(Values) -> lists:nth((length(Values) + 1) div 2, lists:sort(Values)).

%% Thousands of restarts a second, one after another.
restart_rate(Scale) ->
    start(1, named),
    N = 40000 div Scale,
    Begin = erlang:monotonic_time(nanosecond),
    times(N, fun() -> replaced(fun() -> exit(whereis(name(1)), kill) end) end),
    1.0e6 * N / (erlang:monotonic_time(nanosecond) - Begin).

%% The same, 1000 children killed at once, until all their replacements are there.
restart_many(Scale) ->
    Supervisor = start(1000, {telling, self()}),
    times(1000, fun await_start/0),
    Rounds = 40 div Scale,
    Begin = erlang:monotonic_time(nanosecond),
    times(Rounds, fun() ->
                      [exit(Pid, kill) || {_, Pid, _, _} <- supervisor:which_children(Supervisor)],
                      times(1000, fun await_start/0)
                  end),
    1.0e6 * 1000 * Rounds / (erlang:monotonic_time(nanosecond) - Begin).

await_start() -> receive started -> ok end.

times(0, _Fun) -> ok;
times(N, Fun) -> Fun(), times(N - 1, Fun).

%% Runs in the supervisor, at each start.
start_telling(Parent) ->
    Started = gen_server:start_link(bench_server, 0, []),
    Parent ! started,
    Started.
