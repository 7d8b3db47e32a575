# A serial line: two pseudo-terminals, and between them a wire that carries bytes one way, losing and flipping some of them.
# Prints the names of both ends. Arguments: one in how many bytes is lost, one in how many is flipped, a seed.
import os
import pty
import random
import sys

lost, flipped, seed = (int(argument) for argument in sys.argv[1:4])
chance = random.Random(seed)
near, near_end = pty.openpty()
far, far_end = pty.openpty()
print(os.ttyname(near_end), os.ttyname(far_end), flush=True)

while True:
    data = bytearray(os.read(near, 4096))
    out = bytearray()
    for byte in data:
        if lost and chance.randrange(lost) == 0:
            continue
        if flipped and chance.randrange(flipped) == 0:
            byte ^= 1 << chance.randrange(8)
        out.append(byte)
    while out:
        out = out[os.write(far, out):]
