"""How the compiled loop gets its arguments: numbers and addresses, in memory."""

import struct

#: What each call of the loop changes: the row; the addresses of x, d, the output, the noise, x
#: after the row, and the network's next input; the noise's coefficient, and whether the noise is in
#: float32 where x is not. In memory, since ctypes takes longer to pass so many one by one than the
#: loop to run.
CALL = struct.Struct("q6Pdq")
#: What follows it in memory, the same in all calls of a run: how many elements x has, how many
#: places there are for memories, whether d is to be read and clamped, and whether the network sees
#: x scaled; the addresses of the table, the memories, and room for half precision to be computed;
#: and how many calls follow one another in memory, which is read from the first of them.
RUN = struct.Struct("4q3Pq")
#: How many numbers of eight bytes both are.
ARGUMENTS = (CALL.size + RUN.size) // 8
#: Elements that are taken through a row at a time, so that they stay in the cache.
BLOCK = 1024
#: How many blocks of half precision are held in float32.
SCRATCH = 5
