import { dlopen } from 'bun:ffi'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0x8_0000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

/** The C library of glibc, and those of musl. */
const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']

/**
 * Opens a datagram socket, which Bun does not offer, and returns a function that sends text to the socket at a path. A
 * path that begins with `@` is in Linux's abstract namespace.
 *
 * @throws Error if the C library or the socket cannot be opened
 */
export function openDatagram(path: string): (text: string) => void {
  const { symbols } = openLibrary()
  const socket = symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (socket < 0) throw new Error(`cannot open a socket for NOTIFY_SOCKET ${path}`)
  const address = Buffer.from(`\0\0${path.replace(/^@/, '\0')}`)
  address.writeUInt16LE(AF_UNIX)
  // A path ends with a zero byte, a name in the abstract namespace does not.
  const target = path.startsWith('@') ? address : Buffer.concat([address, Buffer.alloc(1)])
  return (text) => {
    const bytes = Buffer.from(text)
    symbols.sendto(socket, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, target, target.length)
  }
}

function openLibrary() {
  let failure: unknown
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, {
        socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
        sendto: { args: ['i32', 'buffer', 'u64', 'i32', 'buffer', 'u32'], returns: 'i64' },
      })
    } catch (error) {
      failure = error
    }
  }
  throw failure
}
