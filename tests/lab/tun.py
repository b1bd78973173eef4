#!/usr/bin/env python3
"""tun.py NAME NETNS PEER: a cable made of two tun devices, NAME here and PEER in the namespace file NETNS.

Tun devices have no link header (raw IP), and unlike ipip, gre or wireguard every kernel has them.
Returns once both devices exist; a process in the background then carries datagrams until killed.
"""
import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def enter(namespace):
    fd = os.open(namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns", namespace)
    os.close(fd)


def main():
    name, namespace, peer = sys.argv[1:]
    near = tun(name)
    enter(namespace)
    far = tun(peer)
    if os.fork() > 0:
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    other = {near: far, far: near}
    while True:
        for fd in select.select([near, far], [], [])[0]:
            try:
                os.write(other[fd], os.read(fd, 65536))
            except OSError:  # a side that is not up yet: the datagram is lost, as on any cable
                pass


main()
