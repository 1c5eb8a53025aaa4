%% SPDX-License-Identifier: Apache-2.0
%%
%% Erlang's side of the rows in ../README.md: main([Row]) or main([Row, "quick"]) measures one and prints its line.
-module(bench_peer).
-export([main/1, rows/0]).

-define(MILLION, 1000000).

rows() -> maps:merge(bench_supervisor:rows(), basic_rows()).

basic_rows() ->
    #{"call" => {"ns", fun call/1},
      "echo" => {"ns", fun echo/1},
      "cast-1" => {"M/s", fun(S) -> cast(1, S) end},
      "cast-2" => {"M/s", fun(S) -> cast(2, S) end},
      "cast-8" => {"M/s", fun(S) -> cast(8, S) end},
      "spawn" => {"M/s", fun spawn_in_turn/1},
      "spawn-alive" => {"M/s", fun spawn_alive/1},
      "start-stop" => {"ns", fun start_stop/1},
      "start-idle" => {"M/s", fun start_idle/1},
      "memory-server" => {"bytes", fun memory_server/1},
      "memory-process" => {"bytes", fun memory_process/1},
      "ring" => {"M/s", fun ring/1},
      "counting" => {"M/s", fun counting/1},
      "fork-join" => {"M/s", fun fork_join/1},
      "chameneos" => {"M/s", fun chameneos/1},
      "bank" => {"M/s", fun bank/1},
      "big" => {"M/s", fun big/1},
      "register" => {"ns", fun register_unregister/1},
      "whereis-1" => {"ns", fun(S) -> whereis_one_of(1, S) end},
      "whereis-10000" => {"ns", fun(S) -> whereis_one_of(10000, S) end},
      "timer-pair" => {"ns", fun timer_pair/1},
      "timer-start" => {"ns", fun timer_start/1},
      "timer-cancel" => {"ns", fun timer_cancel/1}}.

main(["list"]) ->
    [io:format("erlang\t~s~n", [Row]) || Row <- maps:keys(rows())],
    halt(0, [{flush, true}]);
main(["version"]) ->
    io:format("Erlang/OTP ~s, ~b schedulers~n", [otp_version(), erlang:system_info(schedulers)]),
    halt(0, [{flush, true}]);
main([Row | Options]) ->
    case maps:find(Row, rows()) of
        {ok, {Unit, Measure}} -> measure(Row, Unit, Measure, Options);
        error ->
            io:format(standard_error, "no row ~s~n", [Row]),
            halt(2, [{flush, true}])
    end.

measure(Row, Unit, Measure, Options) ->
    Scale = case lists:member("quick", Options) of true -> 8; false -> 1 end,
    Value = in_fresh_process(fun() -> Measure(Scale) end),
    io:format("~s\t~.3f\t~s~n", [Row, float(Value), Unit]),
    halt(0, [{flush, true}]).

otp_version() ->
    Release = erlang:system_info(otp_release),
    case file:read_file(filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"])) of
        {ok, Version} -> string:trim(Version);
        _ -> Release
    end.

%% The process that was given the command line has a history; a row begins with an empty heap. Its mailbox is kept off the
%% heap, as the manual advises for whoever is sent very many messages: the teller of the bank is 100 times faster so.
in_fresh_process(Fun) ->
    Parent = self(),
    spawn_opt(fun() -> Parent ! {value, Fun()} end, [link, {message_queue_data, off_heap}]),
    receive {value, Value} -> Value end.

elapsed(Fun) ->
    Begin = erlang:monotonic_time(nanosecond),
    Fun(),
    erlang:monotonic_time(nanosecond) - Begin.

each(Operations, Fun) -> elapsed(Fun) / Operations.
rate(Operations, Fun) -> 1000 * Operations / elapsed(Fun).

times(0, _Fun) -> ok;
times(N, Fun) -> Fun(), times(N - 1, Fun).

%% 1 call -----------------------------------------------------------------------------------------------------------------

call(Scale) ->
    {ok, Server} = gen_server:start_link(bench_server, 0, []),
    N = 500000 div Scale,
    times(N div 10, fun() -> gen_server:call(Server, {add, 1}) end),
    each(N, fun() -> times(N, fun() -> gen_server:call(Server, {add, 1}) end) end).

echo(Scale) ->
    Server = spawn_link(fun echo_loop/0),
    N = 1000000 div Scale,
    each(N, fun() -> times(N, fun() -> Server ! {self(), ping}, receive pong -> ok end end) end).

echo_loop() -> receive {From, ping} -> From ! pong, echo_loop() end.

%% 2 cast -----------------------------------------------------------------------------------------------------------------

cast(Producers, Scale) ->
    {ok, Server} = gen_server:start_link(bench_server, 0, []),
    Each = 2400000 div Scale div Producers,
    Total = Each * Producers,
    Parent = self(),
    Pids = [spawn_link(fun() ->
                           receive go -> ok end,
                           times(Each, fun() -> gen_server:cast(Server, {add, 1}) end),
                           Parent ! sent
                       end) || _ <- lists:seq(1, Producers)],
    rate(Total, fun() ->
                    [Pid ! go || Pid <- Pids],
                    [receive sent -> ok end || _ <- Pids],
                    Total = gen_server:call(Server, sum, infinity)
                end).

%% 3 spawn and memory -----------------------------------------------------------------------------------------------------

spawn_in_turn(Scale) ->
    N = 500000 div Scale,
    Self = self(),
    rate(N, fun() -> times(N, fun() -> spawn(fun() -> Self ! done end), receive done -> ok end end) end).

spawn_alive(Scale) ->
    N = ?MILLION div Scale,
    Self = self(),
    rate(N, fun() ->
                Pids = [spawn(fun() -> receive stop -> Self ! done end end) || _ <- lists:seq(1, N)],
                [Pid ! stop || Pid <- Pids],
                times(N, fun() -> receive done -> ok end end)
            end).

start_stop(Scale) ->
    N = 200000 div Scale,
    each(N, fun() -> times(N, fun() ->
                                  {ok, Server} = gen_server:start(bench_server, 0, []),
                                  gen_server:stop(Server)
                              end) end).

start_idle(Scale) ->
    N = ?MILLION div Scale,
    rate(N, fun() -> times(N, fun() -> {ok, _} = gen_server:start(bench_server, 0, []) end) end).

memory_server(Scale) ->
    N = ?MILLION div Scale,
    bytes_each(N, fun() -> {ok, _} = gen_server:start(bench_server, 0, []) end).

memory_process(Scale) ->
    N = ?MILLION div Scale,
    bytes_each(N, fun() -> spawn(fun() -> receive stop -> ok end end) end).

bytes_each(N, Start) ->
    Before = resident_bytes(),
    times(N, Start),
    (resident_bytes() - Before) / N.

resident_bytes() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:split(Text, " ", all),
    binary_to_integer(Pages) * 4096.

%% 4 Savina ---------------------------------------------------------------------------------------------------------------

ring(Scale) ->
    Hops = 3000000 div Scale,
    Parent = self(),
    Last = spawn_link(fun() -> receive {next, First} -> ring_loop(First, Parent) end end),
    First = lists:foldl(fun(_, Next) -> spawn_link(fun() -> ring_loop(Next, Parent) end) end, Last, lists:seq(2, 503)),
    Last ! {next, First},
    rate(Hops, fun() -> First ! Hops, receive done -> ok end end).

ring_loop(Next, Parent) ->
    receive
        0 -> Parent ! done, ring_loop(Next, Parent);
        Hops -> Next ! Hops - 1, ring_loop(Next, Parent)
    end.

counting(Scale) ->
    N = 8000000 div Scale,
    Counter = spawn_link(fun() -> counting_loop(0) end),
    rate(N, fun() ->
                times(N, fun() -> Counter ! increment end),
                Counter ! {get, self()},
                receive {count, N} -> ok end
            end).

counting_loop(Count) ->
    receive
        increment -> counting_loop(Count + 1);
        {get, From} -> From ! {count, Count}
    end.

fork_join(Scale) ->
    Each = 40000 div Scale,
    Parent = self(),
    Workers = [spawn_link(fun() -> fork_join_loop(Each, Parent) end) || _ <- lists:seq(1, 60)],
    rate(60 * Each, fun() ->
                        times(Each, fun() -> send_all(Workers) end),
                        times(60, fun() -> receive done -> ok end end)
                    end).

send_all([]) -> ok;
send_all([Worker | Rest]) -> Worker ! work, send_all(Rest).

fork_join_loop(0, Parent) -> Parent ! done;
fork_join_loop(Left, Parent) -> receive work -> fork_join_loop(Left - 1, Parent) end.

chameneos(Scale) ->
    Meetings = 800000 div Scale,
    Parent = self(),
    Mall = spawn_link(fun() -> receive go -> mall_empty(Meetings, 100, 0, Parent) end end),
    Colours = {blue, red, yellow},
    [spawn_link(fun() -> Mall ! {meet, self(), element(I rem 3 + 1, Colours)},
                         creature_loop(Mall, element(I rem 3 + 1, Colours), 0)
                end) || I <- lists:seq(1, 100)],
    Twice = 2 * Meetings,
    rate(Meetings, fun() -> Mall ! go, receive {met, Twice} -> ok end end).

mall_empty(0, 0, Sum, Parent) -> Parent ! {met, Sum};
mall_empty(0, Creatures, Sum, Parent) ->
    receive
        {meet, Pid, _} -> Pid ! exit, mall_empty(0, Creatures, Sum, Parent);
        {count, Count} -> mall_empty(0, Creatures - 1, Sum + Count, Parent)
    end;
mall_empty(Left, Creatures, Sum, Parent) ->
    receive {meet, First, _} -> mall_waiting(First, Left, Creatures, Sum, Parent) end.

mall_waiting(First, Left, Creatures, Sum, Parent) ->
    receive
        {meet, Second, Colour} ->
            First ! {meet, Second, Colour},
            mall_empty(Left - 1, Creatures, Sum, Parent)
    end.

creature_loop(Mall, Colour, Count) ->
    receive
        {meet, Other, OtherColour} ->
            New = complement(Colour, OtherColour),
            Other ! {change, New},
            Mall ! {meet, self(), New},
            creature_loop(Mall, New, Count + 1);
        {change, New} ->
            Mall ! {meet, self(), New},
            creature_loop(Mall, New, Count + 1);
        exit ->
            Mall ! {count, Count}
    end.

complement(Same, Same) -> Same;
complement(blue, red) -> yellow;
complement(blue, yellow) -> red;
complement(red, blue) -> yellow;
complement(red, yellow) -> blue;
complement(yellow, blue) -> red;
complement(yellow, red) -> blue.

bank(Scale) ->
    N = 500000 div Scale,
    Accounts = list_to_tuple([spawn_link(fun() -> account_loop(0) end) || _ <- lists:seq(1, 1000)]),
    rate(N, fun() ->
                transfers(N, Accounts, rand:seed_s(exsss, 42)),
                times(N, fun() -> receive transferred -> ok end end)
            end).

%% The target always comes after the source, so accounts that wait for one another cannot close a cycle.
transfers(0, _Accounts, _Random) -> ok;
transfers(N, Accounts, Random) ->
    {Source, Random1} = rand:uniform_s(800, Random),
    {Distance, Random2} = rand:uniform_s(1000 - Source, Random1),
    element(Source, Accounts) ! {credit, self(), 10, element(Source + Distance, Accounts)},
    transfers(N - 1, Accounts, Random2).

account_loop(Balance) ->
    receive
        {credit, Teller, Amount, Target} ->
            %% The fresh reference lets the receive skip what is in the mailbox already.
            Ref = make_ref(),
            Target ! {debit, self(), Ref, Amount},
            receive {debited, Ref} -> ok end,
            Teller ! transferred,
            account_loop(Balance + Amount);
        {debit, Source, Ref, Amount} ->
            Source ! {debited, Ref},
            account_loop(Balance - Amount)
    end.

big(Scale) ->
    Each = 16000 div Scale,
    Parent = self(),
    Pids = [spawn_link(fun() ->
                           receive {neighbours, All} -> big_ping(All, Each, Parent, rand:seed_s(exsss, I)) end
                       end) || I <- lists:seq(1, 120)],
    All = list_to_tuple(Pids),
    rate(120 * Each, fun() ->
                         [Pid ! {neighbours, All} || Pid <- Pids],
                         times(120, fun() -> receive done -> ok end end),
                         [Pid ! exit || Pid <- Pids]
                     end).

big_ping(All, 0, Parent, Random) ->
    Parent ! done,
    big_wait(All, 0, Parent, Random);
big_ping(All, Left, Parent, Random) ->
    {I, Random1} = rand:uniform_s(tuple_size(All), Random),
    element(I, All) ! {ping, self()},
    big_wait(All, Left, Parent, Random1).

big_wait(All, Left, Parent, Random) ->
    receive
        {ping, From} -> From ! pong, big_wait(All, Left, Parent, Random);
        pong -> big_ping(All, Left - 1, Parent, Random);
        exit -> ok
    end.

%% 7 names ----------------------------------------------------------------------------------------------------------------

register_unregister(Scale) ->
    N = 5000000 div Scale,
    Self = self(),
    each(N, fun() -> times(N, fun() -> register(a_name, Self), unregister(a_name) end) end).

whereis_one_of(Names, Scale) ->
    N = 8000000 div Scale,
    Keys = [list_to_atom("name_of_a_server_" ++ integer_to_list(I)) || I <- lists:seq(1, Names)],
    [register(Key, spawn_link(fun() -> receive stop -> ok end end)) || Key <- Keys],
    Rounds = N div Names,
    each(Rounds * Names, fun() -> times(Rounds, fun() -> whereis_all(Keys) end) end).

whereis_all([]) -> ok;
whereis_all([Key | Rest]) -> whereis(Key), whereis_all(Rest).

%% 8 timers ---------------------------------------------------------------------------------------------------------------

timer_pair(Scale) ->
    N = 1500000 div Scale,
    Self = self(),
    each(N, fun() -> times(N, fun() -> erlang:cancel_timer(erlang:send_after(60000, Self, timeout)) end) end).

timer_start(Scale) ->
    N = ?MILLION div Scale,
    each(N, fun() -> start_timers(N, self(), []) end).

timer_cancel(Scale) ->
    N = ?MILLION div Scale,
    Timers = start_timers(N, self(), []),
    each(N, fun() -> [erlang:cancel_timer(Timer) || Timer <- Timers] end).

%% Between one and two minutes, so that the timers do not all share a slot of the wheel.
start_timers(0, _Self, Timers) -> Timers;
start_timers(N, Self, Timers) ->
    start_timers(N - 1, Self, [erlang:send_after(60000 + N rem 60000, Self, timeout) | Timers]).
