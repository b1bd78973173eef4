#!/usr/bin/env python3
"""dns.py PORT MODE: a name server on 127.0.0.1 and ::1, for the addresses of the labs.

It knows the names of routers and target, as r1.dns.example and dst.dns.example, and who announces the target,
in Team Cymru's zones. Prints "ready" once it listens, then each question: "PTR 2.1.0.10.in-addr.arpa". MODE:

  answer   answers
  late     answers nothing until SIGUSR1, and then everything
  dead     answers nothing
  none     says that there is no such name
  other    answers, but to another question
  garbage  sends bytes that are no message
  hostile  answers with what nobody should print as it is
"""
import ipaddress
import select
import signal
import socket
import struct
import sys

PTR, TXT = 12, 16
ANSWER, NO_SUCH_NAME = 0x8180, 0x8183
TARGETS = {"203.0.113.9": "64500 64501 | 203.0.113.0/24 | ZZ | lab | 2026-11-24",
           "2001:db8:113::9": "64501 | 2001:db8:113::/48 | ZZ | lab | 2026-11-24"}
SYSTEMS = {"as64500": "64500 | ZZ | lab | 2026-11-24 | EXAMPLE-NET, ZZ",
           "as64501": "64501 | ZZ | lab | 2026-11-24 | EXAMPLE-SIX, ZZ"}
ESCAPES = b"\x1b]0;x\x07\x1b[2J\r\n <b> "
HOSTILE_NAMES = {"r1": [ESCAPES, b"(192.0.2.1)  1.0 ms"],
                 "r2": [bytes([7]) * 63] * 3 + [bytes([7]) * 61],  # 255 bytes: as long as may be
                 "r3": [b"192", b"0", b"2", b"7"],
                 "dst": [b"\xff\xfe", b"!X"]}


def reversed_address(labels):
    """The address that the labels of a reverse zone stand for."""
    if len(labels) == 4:
        return str(ipaddress.ip_address(".".join(reversed(labels))))
    nibbles = "".join(reversed(labels))
    return str(ipaddress.ip_address(":".join(nibbles[i:i + 4] for i in range(0, 32, 4))))


def host(address):
    if address in TARGETS:
        return "dst"
    lab = ipaddress.ip_address(address)
    return f"r{lab.packed[2 if lab.version == 4 else 7]}"


def wire(labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(kind, labels, mode):
    """The data of the answer, or None."""
    hostile = mode == "hostile"
    if kind == PTR and labels[-1] == "arpa":
        name = host(reversed_address(labels[:-2]))
        return wire(HOSTILE_NAMES[name] if hostile else [name.encode(), b"dns", b"example"])
    if kind == TXT and labels[-3:] == ["asn", "cymru", "com"]:
        if hostile:
            return b"".join(bytes([255]) + (ESCAPES * 20)[:255] for _ in range(4))
        if labels[-4].startswith("origin"):
            text = TARGETS.get(reversed_address(labels[:-4]))
        else:
            text = SYSTEMS.get(labels[0])
        return text and bytes([len(text)]) + text.encode()
    return None


def answer(message, mode):
    """What is sent back, if anything."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode().lower())
        at += 1 + message[at]
    kind, = struct.unpack_from("!H", message, at + 1)
    question = message[12:at + 5]
    print({PTR: "PTR", TXT: "TXT"}.get(kind, kind), ".".join(labels), flush=True)
    if mode == "dead":
        return None
    if mode == "garbage":
        return message[:2] + b"\xff" * 40
    data = None if mode == "none" else record(kind, labels, mode)
    if mode == "other":
        question = wire([b"other", b"example"]) + question[-4:]
    flags = NO_SUCH_NAME if data is None else ANSWER
    reply = message[:2] + struct.pack("!5H", flags, 1, int(data is not None), 0, 0) + question
    if data is not None:
        reply += struct.pack("!3HIH", 0xC00C, kind, 1, 60, len(data)) + data
    return reply


def main():
    port, mode = int(sys.argv[1]), sys.argv[2]
    listeners = []
    for family, address in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
        listeners.append(socket.socket(family, socket.SOCK_DGRAM))
        listeners[-1].bind((address, port))
    released, release = socket.socketpair()
    release.setblocking(False)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.set_wakeup_fd(release.fileno())
    print("ready", flush=True)
    kept = []
    while True:
        for ready in select.select(listeners + [released], [], [])[0]:
            if ready is released:
                released.recv(1)
                mode = "answer"
            else:
                message, sender = ready.recvfrom(4096)
                kept.append((ready, sender, answer(message, mode)))
            if mode != "late":
                for listener, asker, reply in kept:
                    if reply:
                        listener.sendto(reply, asker)
                kept = []


main()
