// Memory of byte arrays that are done with, given back at once: the garbage collector lets tens of megabytes of them gather.

/** Takes the memory from under an array of one's own; afterwards it has no bytes. */
export function free({ buffer }: Uint8Array<ArrayBuffer>): void {
  // Where browsers cannot do that yet the garbage collector will.
  if ('transfer' in buffer) buffer.transfer(0);
}
