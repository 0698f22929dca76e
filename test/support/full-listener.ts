import { dlopen, FFIType, ptr } from 'bun:ffi'
import { connect, type Socket } from 'node:net'

/** Connections that fill the queue of a listener that accepts none. */
const FILLING = 8

/**
 * A port of loopback on Linux where a connect hangs: a listening socket that nobody accepts from, whose queue is full.
 */
export async function startFullListener(): Promise<{ url: string } & Disposable> {
  const { i32, u32, ptr: pointer } = FFIType
  const libc = dlopen('libc.so.6', {
    socket: { args: [i32, i32, i32], returns: i32 },
    bind: { args: [i32, pointer, u32], returns: i32 },
    listen: { args: [i32, i32], returns: i32 },
    getsockname: { args: [i32, pointer, pointer], returns: i32 },
    close: { args: [i32], returns: i32 },
  }).symbols
  // struct sockaddr_in: AF_INET, port 0, 127.0.0.1.
  const address = new Uint8Array([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  const length = new Uint32Array([address.length])
  const listener = libc.socket(2, 1, 0)
  if (libc.bind(listener, ptr(address), address.length) !== 0) throw new Error('cannot bind')
  libc.listen(listener, 0)
  libc.getsockname(listener, ptr(address), ptr(length))
  const port = new DataView(address.buffer).getUint16(2)
  const sockets: Socket[] = []
  const first = Promise.withResolvers<void>()
  for (let count = 0; count < FILLING; count++) {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('connect', first.resolve)
    socket.on('error', () => {})
    sockets.push(socket)
  }
  await first.promise
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy()
      libc.close(listener)
    },
  }
}
