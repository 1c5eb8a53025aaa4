# SPDX-License-Identifier: Apache-2.0
#
# Drives the real switchboard: with curl as its greeting says, with wrk under load, and with clients that behave badly. After
# each the channels are counted: none may be lost, none may be out twice.
#
#     switchboard_test.py <program> [unittest options]
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = sys.argv.pop(1)
HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120  # seconds that a failing test waits at most
WRK = shutil.which("wrk")


class Switchboard:
    """A running program on a port of its own."""

    def __init__(self, *arguments, program=(PROGRAM, "0"), **options):
        """With stderr=DEVNULL: its reports are shown only if it ends in a way that nobody expects."""
        self.reports = None
        if options.get("stderr") == subprocess.DEVNULL:
            self.reports = options["stderr"] = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, text=True, **options)
        self.greeting = [self.process.stdout.readline()]
        while "SIGTERM" not in self.greeting[-1] and self.greeting[-1]:
            self.greeting.append(self.process.stdout.readline())
        self.port = int(re.search(r"https?://[\w.]+:(\d+)", self.greeting[0]).group(1))

    def ask(self, method, path, body=None, session=None):
        """Status and, if it is JSON, the decoded body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request(method, path, body, {} if session is None else {"X-Session": session.encode()})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.getheader("Content-Type") == "application/json" else None

    def raw(self, sent=b""):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        s.sendall(sent)
        return s

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_seconds_of(self, seconds):
        before = self.cpu_seconds()
        time.sleep(seconds)
        return self.cpu_seconds() - before

    def unsent(self, client):
        """How many bytes the kernel keeps for this client, a socket."""
        ends = tuple(f":{port:04X}" for port in (self.port, client.getsockname()[1]))
        with open("/proc/net/tcp", encoding="ascii") as f:
            for _, local, remote, _, queues, *_ in map(str.split, f):
                if (local[-5:], remote[-5:]) == ends:
                    return int(queues.split(":")[0], 16)
        raise EOFError

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self):
        """Ends it in order. Returns: its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        elif self.process.returncode not in (0, 1, -signal.SIGTERM, -signal.SIGKILL) and self.reports:  # a sanitizer, an assertion
            self.reports.seek(0)
            print(f"it ended with {self.process.returncode}:\n{self.reports.read()[-20000:]}", file=sys.stderr)
        self.process.stdout.close()
        if self.reports:
            self.reports.close()


def read_all(s):
    """Everything until the other side closes; a reset counts as the end."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := s.recv(65536):
            got += piece
    return got


class Feed:
    """A listener of GET /feed that reads when it is told to."""

    def __init__(self, board, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(LIMIT)
        self.socket.connect(("127.0.0.1", board.port))
        self.socket.sendall(b"GET /feed HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        self.bytes = b""
        self.status = status_of(self._take(self._need(lambda: self.bytes.index(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self.bytes else None)))

    def _need(self, there):
        while (n := there()) is None or n > len(self.bytes):
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise EOFError
            self.bytes += piece
        return n

    def _take(self, n):
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def next(self):
        """The next message, decoded, or the code of a close. Pings are answered."""
        while True:
            self._need(lambda: 2)
            size, at = self.bytes[1] & 127, 2
            if size > 125:
                at = 4 if size == 126 else 10
                self._need(lambda: at)
                size = int.from_bytes(self.bytes[2:at], "big")
            self._need(lambda: at + size)
            frame = self._take(at + size)
            kind, payload = frame[0] & 15, frame[at:]
            if kind == 9:  # a pong, or it would be taken for one that is gone
                self.socket.sendall(bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
            if kind == 8:
                return int.from_bytes(payload[:2], "big")
            if kind == 1:
                return json.loads(payload)

    def until(self, event, **fields):
        """Reads on to the message that says this."""
        while True:
            m = self.next()
            if isinstance(m, int):
                raise AssertionError(f"closed with {m} before {event} {fields}")
            if m["event"] == event and fields.items() <= m.items():
                return m

    def close(self):
        self.socket.close()


class Load:
    """wrk, which runs for two seconds, and on until enough has happened meanwhile."""

    def __init__(self, board, *options, path="", arguments=()):
        self.begun = time.monotonic()
        self.process = subprocess.Popen([WRK, "-t1", "-d1h", "--timeout", "30s", *options, f"http://127.0.0.1:{board.port}{path}", *arguments],
                                        stdout=subprocess.PIPE, text=True)

    def goes_on(self, enough):
        ran = time.monotonic() - self.begun
        return self.process.poll() is None and ran < 2 * LIMIT and (ran < 2 or not enough())

    def said(self):
        """What it has seen; it ends by that."""
        for _ in range(LIMIT):
            self.process.send_signal(signal.SIGINT)  # wakes the thread that sleeps until the end, unless another one takes it
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.communicate(timeout=1)[0]
        raise TimeoutError("wrk does not end")

    def close(self):
        self.process.kill()
        self.process.communicate()


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def eventually(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class SwitchboardTest(unittest.TestCase):
    CHANNELS = 8

    def start(self, *arguments, **options):
        board = Switchboard(*arguments, **options)
        self.addCleanup(board.close)
        return board

    def load(self, board, *options, **more):
        load = Load(board, *options, **more)
        self.addCleanup(load.close)
        return load

    def channel_load(self, board, connections=32, sessions=0):
        """Clients that take channels and give them back."""
        return self.load(board, f"-c{connections}", "-s", os.path.join(HERE, "channels.lua"), arguments=("--", str(sessions)))

    def answered(self, board, method, status):
        return board.ask("GET", "/counters")[1].get(method, {}).get(str(status), 0)

    def check_nothing_lost(self, board, channels=CHANNELS):
        """Gives everything back and counts, until nothing that was under way takes or frees any more."""
        everything = list(range(1, channels + 1))

        def all_free():
            _, now = board.ask("GET", "/channels")
            self.assertEqual(sorted(now["free"] + now["taken"]), everything)
            for channel in now["taken"]:
                self.assertIn(board.ask("DELETE", f"/channels/{channel}")[0], (204, 409))
            return now["free"] == everything

        self.assertTrue(eventually(all_free))

    # --- as meant ------------------------------------------------------------------------------------------------------

    def test_the_greeting_shows_the_tree(self):
        names = re.findall(r"^(.*?)\"?(\w+)\"? <\d+\.\d+>", "".join(self.start().greeting), re.MULTILINE)
        self.assertEqual(names, [("", "switchboard"), ("├─ ", "listeners"), ("├─ ", "feed"), ("├─ ", "lease_book"), ("├─ ", "ch3"), ("├─ ", "ledger"), ("├─ ", "callers"), ("│  ├─ ", "session_names"),
                                 ("│  └─ ", "sessions"), ("└─ ", "front")])

    def test_the_commands_of_the_greeting_work_with_curl(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        printed = []
        for line in board.greeting:
            if command := re.match(r"  (curl .*?)   ", line):
                at_leisure = command[1].replace("ttl=5s", "ttl=1h")  # it is to be there when the next command looks
                printed.append(subprocess.run(at_leisure + " -s -w ' %{http_code}'", shell=True, capture_output=True, text=True,
                                              timeout=LIMIT, check=True).stdout.split("\n "))
        self.assertEqual(printed[:-1], [['{"channel":1}', "201"], ['{"channel":2}', "201"], ['{"free":[3,4,5,6,7,8],"taken":[1,2]}', "200"],
                                        [" 204"], ['{"channel":1}', "201"], ['{"sessions":[{"name":"Ann B.","channels":[1]}]}', "200"],
                                        ['{"house":3,"anonymous":-2,"ended":0,"sessions":[{"name":"Ann B.","balance":-1}],"total":0}', "200"],
                                        ['{"GET":{"200":3},"POST":{"201":3},"DELETE":{"204":1}}', "200"], [" 204"]])
        self.assertRegex(printed[-1][0], r'\{"crashed":"<.*>","now":"<.*>"\}')
        self.assertEqual(printed[-1][1], "202")
        self.check_nothing_lost(board)

    def test_the_first_free_channel_is_taken_until_none_is_left(self):
        board = self.start("--channels", "3")
        for channel in (1, 2, 3):
            self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": channel}))
        self.assertEqual(board.ask("POST", "/channels")[0], 503)
        self.assertEqual(board.ask("DELETE", "/channels/2"), (204, None))
        self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": 2}))
        self.check_nothing_lost(board, 3)

    def test_what_was_not_taken_cannot_be_given_back(self):
        board = self.start()
        self.assertEqual(board.ask("DELETE", "/channels/4")[0], 409)
        for path in ("/channels/0", "/channels/9", "/channels/-1", "/channels/x", "/channels/4x", "/channels/99999999999999999999"):
            self.assertEqual(board.ask("DELETE", path)[0], 404, path)
        self.assertEqual(board.ask("PUT", "/channels")[0], 405)
        self.assertEqual(board.ask("GET", "/healthz")[0], 200)
        self.check_nothing_lost(board)

    def test_a_lease_with_a_time_to_live_ends_by_itself(self):
        board = self.start()
        self.assertEqual(board.ask("POST", "/channels?ttl=1h"), (201, {"channel": 1}))
        self.assertEqual(board.ask("POST", "/channels?ttl=50ms"), (201, {"channel": 2}))
        self.assertEqual(board.ask("POST", "/channels", '{"ttl_ms": 50}')[0], 201)  # 3, or 2 again if the other's time was up
        self.assertTrue(eventually(lambda: board.ask("GET", "/channels")[1]["taken"] == [1]))
        for path, body in (("/channels?ttl=5", None), ("/channels?ttl=0s", None), ("/channels?ttl=-1s", None), ("/channels?ttl=31000h", None),
                           ("/channels", "{"), ("/channels", "[1]"), ("/channels", '{"ttl_ms": "1"}'), ("/channels", '{"ttl_ms": 1.5}'),
                           ("/channels", '{"ttl_ms": -5}'), ("/channels", "[" * 100_000)):
            self.assertEqual(board.ask("POST", path, body)[0], 400, (path, body))
        self.check_nothing_lost(board)

    def test_the_end_of_an_old_lease_does_not_end_the_next_one(self):
        board = self.start("--channels", "1")
        for _ in range(20):
            self.assertEqual(board.ask("POST", "/channels?ttl=2ms")[0], 201)
            board.ask("DELETE", "/channels/1")  # 204 or, if it was over by itself, 409
            self.assertEqual(board.ask("POST", "/channels")[0], 201)
            time.sleep(0.004)
            self.assertEqual(board.ask("DELETE", "/channels/1")[0], 204)
        self.check_nothing_lost(board, 1)

    # --- load ----------------------------------------------------------------------------------------------------------

    def test_under_load_no_channel_is_lost_or_handed_out_twice(self):
        if WRK is None:
            self.skipTest("wrk is not installed")
        board = self.start()
        load = self.channel_load(board)
        while load.goes_on(lambda: self.answered(board, "DELETE", 204) > 200):
            time.sleep(0.1)
        said = load.said()
        counts = dict(re.findall(r"(\w+) (\d+)", said[said.index("taken "):]))
        print(f"wrk: {counts}", file=sys.stderr)
        self.assertGreater(int(counts["taken"]), 0)
        self.assertGreater(int(counts["given"]), 100)
        self.assertEqual((counts["twice"], counts["wrong"], counts["errors"]), ("0", "0", "0"), said)
        self.check_nothing_lost(board)

    def test_clients_that_share_the_channels_never_hold_the_same_one(self):
        board = self.start("--channels", "5")
        held, guard = set(), threading.Lock()

        def client(_):
            connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=LIMIT)
            with contextlib.closing(connection):
                for _ in range(100):
                    connection.request("POST", "/channels")
                    answer = connection.getresponse()
                    got = json.loads(answer.read())
                    if answer.status == 503:
                        continue
                    with guard:
                        self.assertNotIn(got["channel"], held)
                        held.add(got["channel"])
                    with guard:
                        held.remove(got["channel"])
                    connection.request("DELETE", f"/channels/{got['channel']}")
                    answer = connection.getresponse()
                    answer.read()
                    self.assertEqual(answer.status, 204)

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            list(pool.map(client, range(10)))
        self.check_nothing_lost(board, 5)

    def test_under_load_and_crashes_no_channel_is_lost_or_handed_out_twice(self):
        if WRK is None:
            self.skipTest("wrk is not installed")
        board = self.start("--allow-crash", "--restarts", "1000000", stderr=subprocess.DEVNULL)
        load = self.channel_load(board)
        crashes = 0
        while load.goes_on(lambda: crashes > 5 and self.answered(board, "POST", 201) > 0):  # one at a time: whoever loses both at once loses the leases
            self.assertEqual(board.ask("POST", f"/crash/{('ch3', 'lease_book')[crashes % 2]}")[0], 202)
            crashes += 1
        said = load.said()
        counts = dict(re.findall(r"(\w+) (\d+)", said[said.index("taken "):]))
        print(f"wrk, with {crashes} crashes: {counts}", file=sys.stderr)
        self.assertGreater(crashes, 5)
        self.assertGreater(int(counts["taken"]), 0)
        self.assertEqual((counts["twice"], counts["wrong"], counts["errors"]), ("0", "0", "0"), said)
        self.check_nothing_lost(board)

    # --- sessions ------------------------------------------------------------------------------------------------------

    def test_the_end_of_a_session_frees_its_channels(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        for end in (("DELETE", "/sessions"), ("POST", "/crash/session")):
            self.assertEqual(board.ask("POST", "/channels", session="Ann B."), (201, {"channel": 1}))
            self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": 2}))
            self.assertEqual(board.ask("POST", "/channels?ttl=1h", session="Ann B."), (201, {"channel": 3}))
            self.assertEqual(board.ask("GET", "/sessions"), (200, {"sessions": [{"name": "Ann B.", "channels": [1, 3]}]}))
            self.assertIn(board.ask(*end, session="Ann B.")[0], (202, 204))
            self.assertEqual(board.ask("GET", "/channels")[1]["taken"], [2])
            self.assertEqual(board.ask("GET", "/sessions"), (200, {"sessions": []}))
            self.assertEqual(board.ask(*end, session="Ann B.")[0], 404)
            self.assertEqual(board.ask("DELETE", "/channels/2")[0], 204)

    def test_what_a_session_gave_back_is_not_freed_by_its_end(self):
        board = self.start()
        self.assertEqual(board.ask("POST", "/channels", session="ann"), (201, {"channel": 1}))
        self.assertEqual(board.ask("DELETE", "/channels/1")[0], 204)
        self.assertEqual(board.ask("POST", "/channels", session="bea"), (201, {"channel": 1}))
        self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.assertEqual(board.ask("GET", "/sessions")[1]["sessions"], [{"name": "bea", "channels": [1]}])

    def test_a_session_that_nobody_uses_ends(self):
        board = self.start("--session.idle", "50ms")
        # 503: the session was over already, between its start and its first allocation
        self.assertTrue(eventually(lambda: board.ask("POST", "/channels", session="ann") == (201, {"channel": 1})))
        self.assertTrue(eventually(lambda: board.ask("GET", "/sessions")[1]["sessions"] == []))
        self.assertTrue(eventually(lambda: board.ask("GET", "/channels")[1]["taken"] == []))  # whoever lent them hears of the end a moment later

    def test_there_are_not_more_sessions_than_allowed(self):
        board = self.start("--session.most", "2")
        for name in ("ann", "bea", "ann"):
            self.assertEqual(board.ask("POST", "/channels", session=name)[0], 201)
        self.assertEqual(board.ask("POST", "/channels", session="cy"), (503, {"error": "there are too many sessions"}))
        self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.assertEqual(board.ask("POST", "/channels", session="cy")[0], 201)
        self.assertEqual(board.ask("GET", "/channels")[1]["taken"], [1, 2])

    def test_sessions_with_odd_names(self):
        board = self.start("--channels", "20")
        odd = ["Grüße, 世界 🐦", "ch3", "sessions", "a b\tc", '"\\/', "{}", "../..", "%41", "x" * 1024]
        for name in odd:
            self.assertEqual(board.ask("POST", "/channels", session=name)[0], 201, name)
        self.assertEqual(sorted(s["name"] for s in board.ask("GET", "/sessions")[1]["sessions"]), sorted(odd))
        for name in odd:
            self.assertEqual(board.ask("DELETE", "/sessions", session=name)[0], 204, name)
        for bad in (b"", b"   ", b"x" * 1025, b"\xe9", b"\xed\xa0\x80"):
            with board.raw(b"POST /channels HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Session: " + bad + b"\r\n\r\n") as s:
                self.assertEqual(status_of(read_all(s)), 400, bad)
        self.assertEqual(board.ask("DELETE", "/sessions")[0], 400)
        self.check_nothing_lost(board, 20)

    def test_callers_of_one_name_share_one_session(self):
        board = self.start("--channels", "100")
        for turn in range(5):
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                got = list(pool.map(lambda _: board.ask("POST", "/channels", session="ann"), range(10)))
            self.assertEqual(sorted(channel["channel"] for _, channel in got), list(range(1, 11)), turn)
            self.assertEqual(len(board.ask("GET", "/sessions")[1]["sessions"]), 1)
            self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.check_nothing_lost(board, 100)

    # --- credit and counters -------------------------------------------------------------------------------------------

    def ledger(self, board):
        status, said = board.ask("GET", "/ledger")
        self.assertEqual((status, said["total"]), (200, 0))
        return said["house"], said["anonymous"], said["ended"], {s["name"]: s["balance"] for s in said["sessions"]}

    def test_each_allocation_has_its_price(self):
        board = self.start("--price", "3", "--session.credit", "7", "--allow-crash", stderr=subprocess.DEVNULL)
        self.assertEqual(self.ledger(board), (0, 0, 0, {}))
        self.assertEqual(board.ask("POST", "/channels")[0], 201)
        self.assertEqual(self.ledger(board), (3, -3, 0, {}))
        for expected in (201, 201, 402, 402):
            self.assertEqual(board.ask("POST", "/channels", session="ann")[0], expected)
        self.assertEqual(board.ask("POST", "/channels", session="bea")[0], 201)
        self.assertEqual(self.ledger(board), (12, -3, 0, {"ann": -6, "bea": -3}))
        self.assertEqual(board.ask("DELETE", "/channels/2")[0], 204)
        self.assertEqual(self.ledger(board), (12, -3, 0, {"ann": -6, "bea": -3}))  # what is paid is paid
        self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.assertTrue(eventually(lambda: self.ledger(board) == (12, -3, -6, {"bea": -3})))
        self.assertEqual(board.ask("POST", "/crash/session", session="bea")[0], 202)
        self.assertTrue(eventually(lambda: self.ledger(board) == (12, -3, -9, {})))
        self.assertEqual(board.ask("POST", "/channels", session="ann")[0], 201)  # another session
        self.assertEqual(self.ledger(board), (15, -3, -9, {"ann": -3}))

    def test_what_is_refused_costs_nothing(self):
        board = self.start("--channels", "1")
        for expected in (201, 503, 503):
            self.assertEqual(board.ask("POST", "/channels", session="ann")[0], expected)
        self.assertEqual(board.ask("POST", "/channels?ttl=0s", session="ann")[0], 400)
        self.assertEqual(self.ledger(board), (1, 0, 0, {"ann": -1}))

    def test_the_accounts_outlive_every_crash_but_that_of_their_session(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        self.assertEqual(board.ask("POST", "/channels", session="ann")[0], 201)
        for name in ("ledger", "ch3", "lease_book", "ledger"):
            self.assertEqual(board.ask("POST", f"/crash/{name}")[0], 202)
            self.assertEqual(self.ledger(board), (1, 0, 0, {"ann": -1}))
        self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.assertTrue(eventually(lambda: self.ledger(board) == (1, 0, -1, {})))  # the new ledger watches the old sessions

    def test_under_load_and_crashes_the_sum_is_the_same_at_every_moment(self):
        if WRK is None:
            self.skipTest("wrk is not installed")
        board = self.start("--channels", "1000", "--session.credit", "1000000000", "--allow-crash", "--restarts", "1000000",
                           stderr=subprocess.DEVNULL)
        load = self.channel_load(board, sessions=300)
        audits = crashes = 0
        while load.goes_on(lambda: audits > 10 and crashes > 0):  # each look sees a sum of 0, or self.ledger fails
            self.ledger(board)
            audits += 1
            if audits % 10 == 0:
                name = ("session", "ledger", "ch3")[crashes % 3]
                self.assertIn(board.ask("POST", f"/crash/{name}", session=f"session {crashes % 300 + 1}")[0], (202, 404))
                crashes += 1
        said = load.said()
        taken, errors = (int(n) for n in re.search(r"taken (\d+) .* errors (\d+)", said).groups())
        print(f"ledger: {audits} audits, {crashes} crashes, {taken} paid", file=sys.stderr)
        self.assertEqual(errors, 0, said)
        self.assertGreater(audits, 10)
        self.assertGreater(crashes, 0)
        self.assertGreaterEqual(self.ledger(board)[0], taken)

    def test_whatever_crashes_nobody_pays_for_what_he_did_not_get(self):
        board = self.start("--channels", "200", "--price", "7", "--session.credit", "40", "--allow-crash", "--restarts", "1000000",
                           stderr=subprocess.DEVNULL)
        stop = threading.Event()
        paid, audits, crashes = [0] * 6, [0] * 2, [0]

        def client(i):
            for n in range(150):
                session = None if i < 2 else f"{i % 3}"
                status, said = board.ask("POST", "/channels", session=session)
                self.assertIn(status, (201, 402, 503))
                if status == 201:
                    paid[i] += 7
                    board.ask("DELETE", f"/channels/{said['channel']}")
                if session and n % 10 == 9:
                    board.ask(*(("POST", "/crash/session") if n % 20 == 9 else ("DELETE", "/sessions")), session=session)

        def auditor(i):
            while not stop.is_set():
                _, anonymous, ended, sessions = self.ledger(board)
                self.assertTrue(anonymous <= 0 and ended <= 0 and all(-40 <= owed <= 0 for owed in sessions.values()), sessions)
                audits[i] += 1

        def crasher():
            while not stop.is_set():
                self.assertEqual(board.ask("POST", f"/crash/{('ledger', 'ch3')[crashes[0] % 2]}")[0], 202)
                crashes[0] += 1
                time.sleep(0.02)

        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            watching = [pool.submit(auditor, i) for i in range(2)] + [pool.submit(crasher)]
            try:
                for c in [pool.submit(client, i) for i in range(6)]:
                    c.result(10 * LIMIT)
            finally:
                stop.set()
            for w in watching:
                w.result(LIMIT)
        print(f"ledger: paid {sum(paid)}, {sum(audits)} audits, {crashes[0]} crashes", file=sys.stderr)
        self.assertGreater(sum(audits), 5)
        self.assertGreater(crashes[0], 0)
        for session in ("0", "1", "2"):
            board.ask("DELETE", "/sessions", session=session)
        self.assertTrue(eventually(lambda: self.ledger(board) == (sum(paid), -sum(paid[:2]), -sum(paid[2:]), {})))
        self.check_nothing_lost(board, 200)

    def test_accounts_go_with_their_sessions(self):
        board = self.start("--channels", "1", "--session.idle", "20ms")
        for i in range(300):
            board.ask("POST", "/channels", session=f"stranger {i}")
        self.assertTrue(eventually(lambda: self.ledger(board)[3] == {}))

    def test_the_counters_say_what_was_answered(self):
        board = self.start("--channels", "5")
        sent = {"GET": {"200": 0, "404": 0}, "POST": {"201": 0, "400": 0, "503": 0}, "DELETE": {"204": 0, "409": 0}, "PUT": {"405": 0}}

        def client(_):
            seen = []
            for method, path in (("GET", "/healthz"), ("GET", "/nothing"), ("POST", "/channels?ttl=x"), ("PUT", "/channels"), ("POST", "/channels"),
                                 ("DELETE", "/channels/1"), ("GET", "/channels")) * 20:
                seen.append((method, str(board.ask(method, path)[0])))
            return seen

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for seen in pool.map(client, range(4)):
                for method, status in seen:
                    sent[method][status] += 1
        counted = board.ask("GET", "/counters")[1]
        self.assertEqual(counted, {m: {s: n for s, n in by.items() if n} for m, by in sent.items()})
        self.assertEqual(board.ask("GET", "/counters")[1]["GET"]["200"], sent["GET"]["200"] + 1)

    # --- crashes -------------------------------------------------------------------------------------------------------

    def test_a_ch3_that_crashed_is_followed_by_one_that_goes_on_with_all_leases(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": 1}))
        self.assertEqual(board.ask("POST", "/channels", session="ann"), (201, {"channel": 2}))
        self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": 3}))
        self.assertEqual(board.ask("POST", "/channels?ttl=1h"), (201, {"channel": 4}))
        self.assertEqual(board.ask("DELETE", "/channels/3")[0], 204)
        self.assertEqual(board.ask("POST", "/channels?ttl=1s"), (201, {"channel": 3}))  # ends by itself, before or behind the crashes
        for name in ("ch3", "lease_book", "ch3"):  # the lease book's successor knows what ch3's successor needs
            status, said = board.ask("POST", f"/crash/{name}")
            self.assertEqual(status, 202)
            self.assertNotEqual(said["crashed"], said["now"])
            self.assertEqual(set(board.ask("GET", "/channels")[1]["taken"]) - {3}, {1, 2, 4})
            self.assertEqual(board.ask("GET", "/sessions"), (200, {"sessions": [{"name": "ann", "channels": [2]}]}))
        self.assertTrue(eventually(lambda: board.ask("GET", "/channels")[1]["taken"] == [1, 2, 4]))
        self.assertEqual(board.ask("POST", "/channels"), (201, {"channel": 3}))
        self.assertEqual(board.ask("DELETE", "/sessions", session="ann")[0], 204)
        self.assertEqual(board.ask("GET", "/channels")[1]["taken"], [1, 3, 4])
        self.check_nothing_lost(board)

    def test_a_session_that_ends_while_ch3_is_started_again_leaves_nothing_taken(self):
        board = self.start("--allow-crash", "--restarts", "1000000", stderr=subprocess.DEVNULL)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for i in range(50):
                self.assertEqual(board.ask("POST", "/channels", session="ann")[0], 201)
                crash = pool.submit(board.ask, "POST", "/crash/ch3")
                end = pool.submit(board.ask, "DELETE", "/sessions", session="ann")
                self.assertEqual((crash.result(LIMIT)[0], end.result(LIMIT)[0]), (202, 204), i)
                self.assertTrue(eventually(lambda: board.ask("GET", "/channels")[1]["taken"] == []))

    def test_nothing_crashes_without_the_flag(self):
        board = self.start()
        self.assertEqual(board.ask("POST", "/channels", session="ann")[0], 201)
        for name in ("ch3", "lease_book", "ledger", "feed", "session", "front", "whatever"):
            self.assertEqual(board.ask("POST", f"/crash/{name}", session="ann")[0], 403, name)
        self.assertEqual(board.ask("GET", "/sessions")[1]["sessions"], [{"name": "ann", "channels": [1]}])

    def test_what_is_not_known_cannot_be_crashed(self):
        board = self.start("--allow-crash")
        for name in ("whatever", "switchboard", "application_controller", "%00", "ch3%20"):
            status, said = board.ask("POST", f"/crash/{name}")
            self.assertEqual((status, "ch3, lease_book, ledger, feed, front, session" in said["error"]), (404, True), name)
        self.assertEqual(board.ask("POST", "/crash/session", session="nobody")[0], 404)
        self.assertEqual(board.ask("POST", "/crash/session")[0], 400)
        self.assertEqual(board.ask("GET", "/crash/ch3")[0], 405)

    def test_too_many_crashes_end_the_program(self):
        board = self.start("--allow-crash", "--restarts", "2", stderr=subprocess.PIPE)
        for _ in range(2):
            self.assertEqual(board.ask("POST", "/crash/ch3")[0], 202)
        with contextlib.suppress(ConnectionError, http.client.HTTPException):  # the program may be quicker than the answer
            while (status := board.ask("POST", "/crash/ch3")[0]) == 202:  # the first was more than ten seconds ago
                pass
            self.assertEqual(status, 503)
        with board.process.stderr:
            self.assertIn("failed too often", board.process.stderr.read())
        self.assertEqual(board.process.wait(LIMIT), 1)

    def test_reports_in_json_are_one_object_a_line(self):
        board = self.start("--allow-crash", "--log.form=json", stderr=subprocess.PIPE)
        self.assertEqual(board.ask("POST", "/channels", session='Ann "B." é')[0], 201)
        self.assertEqual(board.ask("POST", "/crash/ch3")[0], 202)
        self.assertEqual(board.ask("POST", "/crash/session", session='Ann "B." é')[0], 202)
        self.assertEqual(board.end(), 0)
        with board.process.stderr:  # each line, or json.loads fails
            reports = [json.loads(line) for line in board.process.stderr]
        said = {(r["kind"], r.get("name")) for r in reports}
        self.assertLessEqual({("server", "ch3"), ("crash", "ch3"), ("supervisor", "switchboard"), ("server", "session"), ("supervisor", "sessions")}, said)
        crash = next(r for r in reports if r["kind"] == "server")
        self.assertEqual((crash["level"], crash["doing"], crash["fields"]["why"]),
                         ("error", "handle_cast(break_down{})", "std::runtime_error: crashed on purpose"))

    # --- restarts ------------------------------------------------------------------------------------------------------

    def generation(self, board):
        return board.ask("GET", "/healthz")[1]["generation"]

    def restart(self, board):
        """Restarts it, and waits until the next routes answer."""
        before = self.generation(board)
        self.assertEqual(board.ask("POST", "/admin/restart"), (202, {"restarting": True}))
        self.assertTrue(eventually(lambda: self.generation(board) == before + 1))

    def test_it_is_restarted_on_request_and_no_connection_is_closed(self):
        board = self.start("--allow-restart")
        self.assertEqual(board.ask("POST", "/channels", session="ann"), (201, {"channel": 1}))
        kept = http.client.HTTPConnection("127.0.0.1", board.port, timeout=LIMIT)
        with contextlib.closing(kept):
            kept.connect()
            s = kept.sock
            for generation in range(1, 6):
                kept.request("GET", "/healthz")
                self.assertEqual(json.loads(kept.getresponse().read())["generation"], generation)
                self.restart(board)
            self.assertIs(kept.sock, s)
        self.assertEqual(board.ask("GET", "/sessions")[1]["sessions"], [{"name": "ann", "channels": [1]}])
        self.check_nothing_lost(board)

    def test_it_is_not_restarted_without_the_flag(self):
        board = self.start()
        self.assertEqual(board.ask("POST", "/admin/restart")[0], 403)
        self.assertEqual(self.generation(board), 1)

    def test_restarts_under_load_fail_no_request(self):
        if WRK is None:
            self.skipTest("wrk is not installed")
        board = self.start("--allow-restart")
        load = self.channel_load(board, connections=64)
        restarts = 0
        while load.goes_on(lambda: restarts > 1 and self.answered(board, "POST", 201) > 0):
            self.restart(board)
            restarts += 1
        said = load.said()
        counts = dict(re.findall(r"(\w+) (\d+)", said[said.index("taken "):]))
        print(f"wrk, with {restarts} restarts: {counts}", file=sys.stderr)
        self.assertGreater(restarts, 1)
        self.assertGreater(int(counts["taken"]), 0)
        self.assertEqual((counts["twice"], counts["wrong"], counts["errors"]), ("0", "0", "0"), said)
        self.check_nothing_lost(board)

    def test_the_crash_of_the_front_is_no_outage(self):
        board = self.start("--allow-crash", "--allow-restart", stderr=subprocess.DEVNULL)
        kept = http.client.HTTPConnection("127.0.0.1", board.port, timeout=LIMIT)
        with contextlib.closing(kept):
            for _ in range(5):
                kept.request("POST", "/crash/front")  # by a request of the server that the front has started
                answer = kept.getresponse()
                said = json.loads(answer.read())
                self.assertEqual(answer.status, 202)
                self.assertNotEqual(said["crashed"], said["now"])
        self.assertEqual(self.generation(board), 1)
        self.restart(board)
        self.assertEqual(board.end(), 0)
        self.assertIn("answered", board.process.stdout.read())

    # --- the feed ------------------------------------------------------------------------------------------------------

    def listen(self, board, **options):
        feed = Feed(board, **options)
        self.addCleanup(feed.close)
        self.assertEqual(feed.status, 101)
        return feed

    def test_the_feed_tells_what_becomes_of_the_channels(self):
        board = self.start("--channels", "3", "--allow-restart")
        board.ask("POST", "/channels?ttl=1h", session="Ann")
        feed = self.listen(board)
        state = feed.next()
        left = state["taken"][0].pop("left_ms")
        self.assertTrue(3_500_000 < left <= 3_600_000, left)
        number = state.pop("number")
        self.assertEqual(state, {"event": "state", "generation": 1, "channels": 3, "taken": [{"channel": 1, "session": "Ann"}],
                                 "may_crash": False, "may_restart": True})
        board.ask("POST", "/channels")
        board.ask("DELETE", "/channels/2")
        board.ask("DELETE", "/sessions", session="Ann")
        board.ask("POST", "/channels?ttl=20ms")
        said = [feed.next() for _ in range(5)]
        self.assertEqual([m.pop("number") for m in said], list(range(number + 1, number + 6)))  # none is missing
        self.assertTrue(0 <= said[3].pop("left_ms") <= 20)
        self.assertEqual(said, [{"event": "allocated", "channel": 2, "left_ms": None, "session": None},
                                {"event": "freed", "channel": 2, "why": "given back"},
                                {"event": "freed", "channel": 1, "why": "its session has ended"},
                                {"event": "allocated", "channel": 1, "session": None},
                                {"event": "freed", "channel": 1, "why": "its time was up"}])

    def test_the_feed_tells_of_crashes_and_the_state_after_them(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        board.ask("POST", "/channels")
        feed = self.listen(board)
        for name in ("ch3", "lease_book", "ledger", "front"):
            self.assertEqual(board.ask("POST", f"/crash/{name}")[0], 202)
            self.assertIn("on purpose", feed.until("ended", server=name)["why"])
            feed.until("started", server=name)
            if name == "ch3":
                self.assertEqual([t["channel"] for t in feed.until("state")["taken"]], [1])
        self.assertEqual(board.ask("POST", "/crash/feed")[0], 202)
        self.assertEqual(feed.next(), 1012)
        again = self.listen(board)  # a new feed has asked ch3
        state = again.next()
        while not state["taken"]:
            state = again.until("state")
        self.assertEqual(state["taken"][0]["channel"], 1)

    def test_listeners_stay_over_a_restart_and_are_told_of_it(self):
        board = self.start("--allow-restart")
        feeds = [self.listen(board) for _ in range(50)]
        for f in feeds:
            self.assertEqual(f.next()["generation"], 1)
        self.restart(board)
        self.assertEqual([f.next()["generation"] for f in feeds], [2] * 50)
        board.ask("POST", "/channels")
        self.assertEqual([f.next()["channel"] for f in feeds], [1] * 50)
        self.assertEqual(board.end(), 0)
        self.assertEqual([f.next() for f in feeds], [1001] * 50)

    def test_a_listener_misses_nothing_over_restarts(self):
        board = self.start("--allow-restart", "--channels", "1")
        feed = self.listen(board)
        number = feed.next()["number"]
        generation = 1
        for round in range(100):
            status = board.ask("POST", "/channels")[0] if round % 2 == 0 else board.ask("DELETE", "/channels/1")[0]
            self.assertIn(status, (201, 204))
            if round % 5 == 0:
                board.ask("POST", "/admin/restart")
        taken, told = False, 0
        while told < 100 or generation == 1:
            m = feed.next()
            if m["event"] == "state":
                self.assertGreaterEqual(m["number"], number)  # what was not told by itself, this tells
                self.assertGreaterEqual(m["generation"], generation)
                generation = m["generation"]
                taken, told, number = bool(m["taken"]), told + m["number"] - number, m["number"]
                continue
            self.assertEqual(m["number"], number + 1)
            self.assertEqual(m["event"], "freed" if taken else "allocated")
            taken, told, number = not taken, told + 1, m["number"]
        self.assertGreater(generation, 1)

    def test_a_listener_that_does_not_read_holds_up_nobody_and_is_closed(self):
        board = self.start("--session.credit", "1000000000")
        slow = self.listen(board, receive_buffer=4096)
        quick = self.listen(board)
        quick.next()
        seen, rounds = [], 0

        def read():
            with contextlib.suppress(EOFError):
                while True:
                    seen.append(quick.next()["number"])

        with concurrent.futures.ThreadPoolExecutor(1) as pool, board.raw() as s:
            reading = pool.submit(read)
            take = b"POST /channels HTTP/1.1\r\nHost: localhost\r\nX-Session: " + b"x" * 1000 + b"\r\n\r\n"
            before = -1
            while (now := board.unsent(slow.socket)) > before:  # else the kernel took nothing in for it while 400 were told: it is lost
                before = now
                for _ in range(200):
                    s.sendall(take)
                    self.assertEqual(status_of(s.recv(65536)), 201)
                    s.sendall(b"DELETE /channels/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertEqual(status_of(s.recv(65536)), 204)
                    rounds += 1
                    if rounds % 50 == 0:
                        self.assertTrue(eventually(lambda: len(seen) == 2 * rounds))  # or this one would be slow, too
            quick.socket.shutdown(socket.SHUT_RDWR)
            reading.result(LIMIT)
        self.assertEqual(seen, list(range(seen[0], seen[0] + 2 * rounds)))
        read = 0
        while not isinstance(last := slow.next(), int):
            read += 1
        self.assertEqual(last, 1013)
        self.assertLess(read, 2 * rounds)
        self.check_nothing_lost(board)

    def test_many_listeners_that_do_not_read_cost_little_and_hold_up_nobody(self):
        channels = 400
        board = self.start("--session.credit", "1000000000", "--channels", str(channels + 1), "--allow-crash", stderr=subprocess.DEVNULL)
        give = b"DELETE /channels/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (channels + 1)
        with board.raw() as s:
            def ask(request):
                s.sendall(request)
                return status_of(s.recv(65536))

            for i in range(channels):  # all of it is half a megabyte
                self.assertEqual(ask(b"POST /channels HTTP/1.1\r\nHost: localhost\r\nX-Session: %d" % i + b"x" * 990 + b"\r\n\r\n"), 201)
            deaf = [self.listen(board, receive_buffer=4096) for _ in range(100)]
            quick = self.listen(board)
            quick.next()
            for _ in range(8):  # the kernel takes in no more for the deaf ones after that
                self.assertEqual(board.ask("POST", "/crash/ch3")[0], 202)
                quick.until("state")
            before = board.resident_bytes()
            for _ in range(2000):
                self.assertEqual(ask(b"POST /channels HTTP/1.1\r\nHost: localhost\r\n\r\n"), 201)
                quick.until("allocated")
                self.assertEqual(ask(give), 204)
                quick.until("freed")
        with open(PROGRAM, "rb") as program:
            if b"__asan_init" not in (code := program.read()) and b"__tsan_init" not in code:  # those keep what was given back
                self.assertLess(board.resident_bytes() - before, 10e6)  # it would be 26 MB if all that was told waited for each of them
        self.assertEqual(len(deaf), 100)

    def test_pages_of_other_sites_change_nothing_and_do_not_listen(self):
        board = self.start("--allow-crash", "--allow-restart", "--channels", "2")
        own = f"http://127.0.0.1:{board.port}"

        def ask(method, path, page, *lines):
            head = (f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{board.port}", f"Origin: {page}", "Content-Length: 0", *lines)
            with board.raw("\r\n".join((*head, "", "")).encode()) as s:
                return status_of(s.recv(65536))

        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        for page in ("http://evil.example", "null", f"https://127.0.0.1:{board.port + 1}", "http://127.0.0.1"):
            for method, path in (("POST", "/channels"), ("DELETE", "/channels/1"), ("POST", "/crash/ch3"), ("POST", "/admin/restart"), ("DELETE", "/sessions")):
                self.assertEqual(ask(method, path, page), 403, (method, path, page))
            self.assertEqual(ask("GET", "/feed", page, *upgrade), 403)
            self.assertEqual(ask("GET", "/channels", page), 200)
        self.assertEqual(board.ask("GET", "/channels")[1], {"free": [1, 2], "taken": []})
        self.assertEqual(ask("POST", "/channels", own), 201)
        self.assertEqual(ask("GET", "/feed", own, *upgrade), 101)

    def test_a_page_whose_name_was_made_to_mean_this_machine_gets_nothing(self):
        def ask(board, method, path, host, *lines):
            head = (f"{method} {path} HTTP/1.1", f"Host: {host}:{board.port}", f"Origin: http://{host}:{board.port}", "Content-Length: 0", *lines)
            with board.raw("\r\n".join((*head, "", "")).encode()) as s:
                return status_of(s.recv(65536))

        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        board = self.start("--allow-crash", "--allow-restart", "--host", "switchboard.example", "--channels", "2")
        for method, path in (("GET", "/"), ("GET", "/channels"), ("POST", "/channels"), ("POST", "/crash/ch3"), ("POST", "/admin/restart"), ("GET", "/nowhere")):
            self.assertEqual(ask(board, method, path, "evil.example"), 421, (method, path))
        self.assertEqual(ask(board, "GET", "/feed", "evil.example", *upgrade), 421)
        self.assertEqual(ask(board, "GET", "/feed", "localhost", *upgrade), 101)
        self.assertEqual(ask(board, "POST", "/channels", "switchboard.example"), 201)
        self.assertEqual(board.ask("GET", "/channels")[1], {"free": [2], "taken": [1]})
        everywhere = self.start("--address", "0.0.0.0")
        self.assertEqual(ask(everywhere, "GET", "/channels", "any.example"), 200)

    def test_who_is_no_websocket_gets_426(self):
        board = self.start()
        with board.raw(b"GET /feed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as s:
            self.assertEqual(status_of(read_all(s)), 426)

    # --- what it says of itself ----------------------------------------------------------------------------------------

    def test_it_answers_what_its_openapi_file_says(self):
        board = self.start("--channels", "2", "--allow-restart")
        paths = board.ask("GET", "/openapi.json")[1]["paths"]
        board.ask("POST", "/channels")
        for path, item in paths.items():
            for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
                operation = item.get(method.lower())
                status, _ = board.ask(method, path.replace("{number}", "1").replace("{name}", "ch3"))
                self.assertEqual(status == 405, operation is None, (method, path, status))
                if operation:
                    self.assertIn(str(status), operation["responses"], (method, path))

    def test_metrics_and_readiness(self):
        board = self.start("--allow-crash", stderr=subprocess.DEVNULL)
        self.assertEqual(board.ask("GET", "/readyz"), (200, {"status": "ok", "checks": {n: "ok" for n in ("lease_book", "ch3", "ledger", "feed", "front")}}))
        board.ask("POST", "/channels")
        board.ask("POST", "/crash/ch3")
        with board.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as s:
            said = read_all(s).decode()
        if status_of(said.encode()) == 501:
            self.skipTest("built without metrics")
        for line in ('coppice_servers{class="ch3"} 1', 'coppice_server_restarts_total{class="ch3"} 1',
                     'coppice_http_requests_total{route="/channels",method="POST",status="201"} 1',
                     'coppice_http_requests_total{route="/crash/:name",method="POST",status="202"} 1', 'coppice_transactions_total{outcome="committed"}'):
            self.assertIn("\n" + line, said)

    # --- another program in its place ----------------------------------------------------------------------------------

    def socket_path(self):
        directory = tempfile.TemporaryDirectory(prefix="switchboard")  # 0700
        self.addCleanup(directory.cleanup)
        return os.path.join(directory.name, "socket")

    def test_another_program_takes_over_and_no_connection_is_closed(self):
        path = self.socket_path()
        boards = [self.start("--take-over", path, stderr=subprocess.DEVNULL)]
        feed = self.listen(boards[0])
        self.assertEqual(feed.next()["taken"], [])
        kept = http.client.HTTPConnection("127.0.0.1", boards[0].port, timeout=LIMIT)
        with contextlib.closing(kept):
            kept.connect()
            s = kept.sock
            for _ in range(3):
                boards.append(self.start("--take-over", path, stderr=subprocess.DEVNULL))
                self.assertEqual(boards[-1].port, boards[0].port)
                self.assertEqual(boards[-2].process.wait(LIMIT), 0)  # it ends by itself
                self.assertIn("cut off 0", boards[-2].process.stdout.read())
                self.assertEqual(feed.until("state")["taken"], [])  # sockets move, memory does not
                kept.request("POST", "/channels")
                answer = kept.getresponse()
                self.assertEqual((answer.status, json.loads(answer.read())), (201, {"channel": 1}))
                self.assertEqual(feed.until("allocated")["channel"], 1)
            self.assertIs(kept.sock, s)
        self.assertEqual(boards[-1].end(), 0)
        self.assertEqual(feed.next(), 1001)
        self.assertFalse(os.path.exists(path))

    def test_under_tls_it_restarts_and_is_taken_over(self):
        with tempfile.TemporaryDirectory() as at:
            certificate, key, door = (os.path.join(at, name) for name in ("cert.pem", "key.pem", "door"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
                           check=True, capture_output=True)
            options = ["--tls-cert", certificate, "--tls-key", key, "--allow-restart", "--take-over", door]
            first = self.start(*options, stderr=subprocess.DEVNULL)

            def curl(*arguments):
                return subprocess.run(["curl", "-s", "--noproxy", "*", "--cacert", certificate, "--max-time", str(LIMIT), *arguments],
                                      capture_output=True, text=True, check=False).stdout

            at = f"https://localhost:{first.port}"
            self.assertEqual(json.loads(curl("-X", "POST", at + "/channels")), {"channel": 1})
            self.assertEqual(curl("-X", "POST", "-o", "/dev/null", "-w", "%{http_code}", at + "/admin/restart"), "202")
            self.assertTrue(eventually(lambda: json.loads(curl("-X", "POST", at + "/channels")) == {"channel": 2}))
            self.assertEqual(first.ask("GET", "/channels")[0], 400)  # plain HTTP
            second = self.start(*options, stderr=subprocess.DEVNULL)
            self.assertEqual(second.port, first.port)
            self.assertEqual(first.process.wait(LIMIT), 0)
            self.assertEqual(json.loads(curl("-X", "POST", at + "/channels")), {"channel": 1})
            self.assertEqual(second.end(), 0)

    def test_take_overs_under_load_fail_no_request(self):
        if WRK is None:
            self.skipTest("wrk is not installed")
        path = self.socket_path()
        board = self.start("--take-over", path, stderr=subprocess.DEVNULL)
        loads = [self.load(board, "-c64", "--latency", *more, path="/healthz")
                 for more in ((), ("-H", "Connection: close"))]  # kept connections; one for each request
        turns = 0
        while all(load.goes_on(lambda: turns > 0) for load in loads):
            after = self.start("--take-over", path, stderr=subprocess.DEVNULL)
            self.assertEqual(board.process.wait(LIMIT), 0)
            board, turns = after, turns + 1
        for load in loads:
            said = load.said()
            print(f"wrk, with {turns} take-overs: " + " ".join(re.findall(r"99%\s+\S+|\d+ requests in", said)), file=sys.stderr)
            self.assertIn(" requests in ", said)
            self.assertNotIn("Socket errors", said)
            self.assertNotIn("Non-2xx", said)
        self.assertGreater(turns, 0)
        self.assertEqual(board.ask("GET", "/healthz")[0], 200)

    def test_a_request_under_way_ends_before_the_old_program_does(self):
        path = self.socket_path()
        old = self.start("--take-over", path, stderr=subprocess.DEVNULL)
        with old.raw(b'POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{"ttl_') as s:
            self.assertEqual(old.ask("GET", "/healthz")[0], 200)
            new = self.start("--take-over", path, stderr=subprocess.DEVNULL)
            self.assertEqual(new.ask("GET", "/healthz")[0], 200)
            self.assertIsNone(old.process.poll())
            s.sendall(b'ms":5}')
            self.assertEqual(status_of(s.recv(65536)), 201)
            self.assertEqual(old.process.wait(LIMIT), 0)
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # by the new one, on the same connection
            self.assertEqual(status_of(s.recv(65536)), 200)

    def test_a_program_that_cannot_take_over_says_why_and_the_old_one_goes_on(self):
        path = self.socket_path()
        board = self.start("--take-over", path, stderr=subprocess.DEVNULL)

        def fails(port, at, said):
            r = subprocess.run([PROGRAM, port, "--take-over", at], capture_output=True, text=True, timeout=LIMIT, check=False)
            self.assertEqual((r.returncode, said in r.stderr), (1, True), r.stderr)

        fails("1", path, f"listens on port {board.port}, not on 1")
        with tempfile.TemporaryDirectory() as open_to_all:
            os.chmod(open_to_all, 0o755)
            fails("0", os.path.join(open_to_all, "socket"), "0700")
        fails("0", "/nowhere/at/all", "No such file")
        fails("0", "/" + 200 * "x", "too long")
        self.assertEqual(board.ask("GET", "/healthz")[0], 200)
        self.assertTrue(os.path.exists(path))

    def test_what_a_program_that_was_killed_has_left_is_in_nobodys_way(self):
        path = self.socket_path()
        board = self.start("--take-over", path, stderr=subprocess.DEVNULL)
        board.process.kill()
        board.process.wait(LIMIT)
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.start("--take-over", path, stderr=subprocess.DEVNULL).ask("GET", "/healthz")[0], 200)

    def test_it_listens_on_the_socket_of_the_service_manager(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.set_inheritable(True)
            port = listener.getsockname()[1]
            # What systemd does: the socket is descriptor 3, and the environment says whom it is for.
            command = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec "$0" "$@"'
            for _ in range(2):  # the manager keeps it open: whoever connects while nobody runs is served by the next one
                early = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
                board = self.start(program=["sh", "-c", command, PROGRAM, "1"], preexec_fn=lambda: os.dup2(listener.fileno(), 3), pass_fds=(3,))
                self.assertEqual(board.port, port)
                with early:
                    early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    self.assertEqual(status_of(read_all(early)), 200)
                self.assertEqual(board.end(), 0)

    # --- bad clients ---------------------------------------------------------------------------------------------------

    def test_bad_requests_get_a_4xx_or_a_closed_connection(self):
        board = self.start()
        host = b"Host: localhost\r\n"
        for status, sent in (
                (400, b"hello\r\n\r\n"), (400, b"\0\0\0\0\r\n\r\n"), (400, b"GET / HTTP/1.1\n\n"), (400, b"GET / HTTP/1.1\r\n\r\n"),
                (400, b"POST /channels HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                (501, b"BREW / HTTP/1.1\r\n" + host + b"\r\n"), (505, b"GET / HTTP/3.0\r\n" + host + b"\r\n"),
                (414, b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + host + b"\r\n"),
                (431, b"GET / HTTP/1.1\r\n" + host + b"A: " + b"b" * 10_000 + b"\r\n\r\n"),
                (413, b"POST /channels HTTP/1.1\r\n" + host + b"Content-Length: 2000000\r\n\r\n"),
                (413, b"POST /channels HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n")):
            with board.raw(sent) as s:
                self.assertEqual(status_of(read_all(s)), status, sent[:60])
        self.check_nothing_lost(board)

    def test_a_body_that_is_cut_off_takes_no_channel(self):
        board = self.start()
        with board.raw(b'POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{"ttl') as s:
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(status_of(read_all(s)), 400)
        board.raw(b'POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{"ttl').close()
        self.assertEqual(board.ask("GET", "/channels")[1]["taken"], [])

    def test_a_client_that_only_listens_gets_its_answer(self):
        board = self.start()
        with board.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as s:
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(status_of(read_all(s)), 200)

    def test_slow_clients_hold_up_nobody(self):
        board = self.start()
        slow = [board.raw(b"POST /channels HTT") for _ in range(300)]
        self.assertEqual(board.ask("GET", "/healthz")[0], 200)
        for s in slow[-10:]:  # the others have been opened so long ago that they may have been given up
            s.sendall(b"P/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = [status_of(read_all(s)) for s in slow[-10:]]
        self.assertEqual(sorted(answers), [201] * 8 + [503] * 2)
        for s in slow:
            s.close()
        self.check_nothing_lost(board)

    def test_a_thousand_connections_opened_and_dropped(self):
        board = self.start()
        for i in range(1000):
            s = board.raw((b"", b"GET", b"GET / HTTP/1.1\r\n\r\n", b"POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")[i % 4])
            if i % 2:  # a reset instead of an end
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        self.assertEqual(board.ask("GET", "/healthz")[0], 200)
        self.assertTrue(eventually(lambda: len(os.listdir(f"/proc/{board.process.pid}/fd")) < 20))
        self.check_nothing_lost(board)

    def test_out_of_descriptors_it_serves_one_after_the_other_and_does_not_spin(self):
        board = self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)), stderr=subprocess.DEVNULL)
        for _ in range(3):  # what needs a descriptor once, at its first use, has it now
            self.assertEqual(board.ask("GET", "/healthz")[0], 200)
        waiting = [board.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(100)]
        self.assertTrue(eventually(lambda: board.cpu_seconds_of(1) < 0.3))  # the first may still be being served
        for s in waiting:
            self.assertEqual(status_of(s.recv(65536)), 200)
            s.close()

    def test_idle_connections_cost_no_time(self):
        board = self.start()
        idle = [board.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(200)]
        for s in idle:
            self.assertEqual(status_of(s.recv(65536)), 200)
        self.assertTrue(eventually(lambda: board.cpu_seconds_of(2) <= 0.05))
        for s in idle:
            s.close()

    # --- start and end -------------------------------------------------------------------------------------------------

    def test_it_ends_with_0_under_load(self):
        board = self.start()
        stop = threading.Event()
        broken = []

        def client(_):
            while not stop.is_set():
                try:
                    status, _ = board.ask("GET", "/channels")
                    if status != 200:
                        broken.append(status)
                except (ConnectionError, http.client.RemoteDisconnected):
                    return  # the door is closed, or closed as the kernel had accepted and the program had not

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client, i) for i in range(8)]
            load = subprocess.Popen([WRK, "-t1", "-c16", "-d5s", f"http://127.0.0.1:{board.port}/channels"],
                                    stdout=subprocess.DEVNULL) if WRK else None
            time.sleep(0.5)
            self.assertEqual(board.end(), 0)
            stop.set()
            for c in clients:
                c.result(LIMIT)
            if load:
                load.kill()
                load.wait()
        self.assertEqual(broken, [])
        self.assertIn("answered", board.process.stdout.read())

    def test_a_request_under_way_is_answered_before_the_end(self):
        board = self.start()
        with board.raw(b'POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{"ttl_') as s:
            self.assertTrue(eventually(lambda: board.ask("GET", "/healthz")[0] == 200))
            board.process.send_signal(signal.SIGTERM)
            self.assertIn("ends", board.process.stdout.readline())
            s.sendall(b'ms":5}')
            self.assertEqual(status_of(read_all(s)), 201)
        self.assertEqual(board.process.wait(LIMIT), 0)

    def test_it_stops_the_front_before_what_the_front_needs(self):
        board = self.start("--log.level=info", stderr=subprocess.PIPE)
        with board.raw(b"POST /channels HTTP/1.1\r\nHost: localhost\r\nX-Session: ann\r\nContent-Length: 12\r\n\r\n{\"ttl_") as s:
            self.assertTrue(eventually(lambda: board.ask("GET", "/healthz")[0] == 200))
            board.process.send_signal(signal.SIGTERM)
            self.assertIn("ends", board.process.stdout.readline())
            s.sendall(b'ms":5}')
            self.assertEqual(status_of(read_all(s)), 201)  # by a session, ch3 and the ledger
        self.assertEqual(board.process.wait(LIMIT), 0)
        self.assertIn("answered", board.process.stdout.readline())
        with board.process.stderr:
            self.assertNotIn("[error]", board.process.stderr.read())

    def test_it_goes_on_when_nobody_reads_what_it_prints(self):
        out, end = os.pipe()
        with subprocess.Popen([PROGRAM, "0"], stdout=end, stderr=subprocess.PIPE, text=True) as board:
            os.close(end)
            with os.fdopen(out) as first:
                port = int(re.search(r":(\d+)", first.readline()).group(1))  # as `| head -1` does
            board.stderr.close()
            try:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
                    for path, status in (("/healthz", 200), ("/nowhere", 404)):
                        connection.request("GET", path)
                        answer = connection.getresponse()
                        answer.read()
                        self.assertEqual(answer.status, status)
                board.send_signal(signal.SIGTERM)
                self.assertEqual(board.wait(LIMIT), 0)
            finally:
                board.kill()

    def test_a_second_signal_ends_it_at_once(self):
        board = self.start()
        with board.raw(b"POST /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\nha"):
            self.assertEqual(board.ask("GET", "/healthz")[0], 200)
            board.process.send_signal(signal.SIGINT)
            self.assertIn("ends", board.process.stdout.readline())
            board.process.send_signal(signal.SIGTERM)
            self.assertEqual(board.process.wait(LIMIT), -signal.SIGTERM)

    def test_it_says_why_it_cannot_start(self):
        board = self.start()
        for arguments, status, said in (([str(board.port)], 1, "in use"), (["70000"], 2, "port"), (["x"], 2, "port"), (["--channels", "0"], 2, "1000000"),
                                        (["--channels"], 2, "value"), (["--what"], 2, "--help"), (["1", "2"], 2, "too many"),
                                        (["0", "--address", "nowhere"], 1, "nowhere")):
            r = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False)
            self.assertEqual((r.returncode, said in r.stderr), (status, True), (arguments, r.stderr))
        r = subprocess.run([PROGRAM], capture_output=True, text=True, timeout=LIMIT, check=False, env={**os.environ, "PORT": str(board.port)})
        self.assertIn(str(board.port), r.stderr)
        self.assertIn("--channels", subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, timeout=LIMIT, check=True).stdout)


if __name__ == "__main__":
    if WRK is None:
        print("switchboard_test: wrk is not installed (tools/setup does it): the load test is skipped", file=sys.stderr)
    unittest.main(verbosity=2, warnings="ignore")
