#!/usr/bin/env python3
"""Between Postern and PostgreSQL: tests/torture/proxy.py SOCKET TARGET

Passes octets between unix sockets, and does harm when standard input says so:

  break          closes all connections
  cut N          closes each connection after N more octets from PostgreSQL
  delay MS       each octet comes that much later; 0 heals
  stall          nothing passes, nothing is closed
  refuse         new connections are closed at once
  heal           all of that is over

Ends with its standard input. It must never change an octet.
"""
import asyncio
import sys

LIMIT = 262144


class Link:
    def __init__(self, proxy, *writers):
        self.proxy, self.writers = proxy, list(writers)
        self.cut = None         # octets that PostgreSQL may still send

    async def pump(self, reader, writer, from_server):
        try:
            while data := await reader.read(LIMIT):
                await self.proxy.flowing.wait()
                if self.proxy.delay:
                    await asyncio.sleep(self.proxy.delay)
                if from_server and self.cut is not None:
                    data, self.cut = data[:self.cut], self.cut - len(data[:self.cut])
                if writer.is_closing():
                    break
                writer.write(data)
                await writer.drain()
                if self.cut == 0:
                    break
        except OSError:
            pass
        self.close()

    def close(self):
        for w in self.writers:
            w.close()
        self.proxy.links.discard(self)


class Proxy:
    def __init__(self, target):
        self.target, self.links = target, set()
        self.delay, self.refusing = 0, False
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def accept(self, reader, writer):
        link = Link(self, writer)
        if self.refusing:
            return link.close()
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            return link.close()
        link.writers.append(up_writer)
        self.links.add(link)
        await asyncio.gather(link.pump(reader, up_writer, False), link.pump(up_reader, writer, True))

    def obey(self, word, number=0):
        if word == "break":
            for link in list(self.links):
                link.close()
        elif word == "cut":
            for link in self.links:
                link.cut = number
        elif word == "delay":
            self.delay = number / 1000
        elif word == "stall":
            self.flowing.clear()
        elif word == "refuse":
            self.refusing = True
        elif word == "heal":
            self.delay, self.refusing = 0, False
            self.flowing.set()
            for link in self.links:
                link.cut = None
        else:
            raise ValueError(word)


async def main():
    where, target = sys.argv[1:]
    proxy = Proxy(target)
    await asyncio.start_unix_server(proxy.accept, where, backlog=1024)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while line := await orders.readline():
        word, *number = line.decode().split()
        proxy.obey(word, *map(int, number))
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
