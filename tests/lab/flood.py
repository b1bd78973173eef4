#!/usr/bin/env python3
"""flood.py ADDRESS PACKETS_PER_SECOND: sends small UDP datagrams to ADDRESS until killed."""
import socket
import sys
import time


def main():
    address, rate = sys.argv[1], int(sys.argv[2])
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((address, 9))
    payload, send = bytes(18), sender.send
    burst = max(rate // 1000, 1)
    due = time.monotonic()
    while True:
        for _ in range(burst):
            try:
                send(payload)
            except OSError:  # an ICMP error came for an earlier one
                pass
        due += burst / rate
        time.sleep(max(due - time.monotonic(), 0))


main()
