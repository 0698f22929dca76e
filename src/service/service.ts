/** The systemd that started this process. Outside of systemd its methods do nothing. */
export interface ServiceManager {
  /** Reports that the service is ready, with a line for `systemctl status`, and starts the watchdog. */
  ready(status: string): void
  /** Reports that the service stops, and ends the watchdog. */
  stopping(): void
}

const NONE: ServiceManager = { ready() {}, stopping() {} }

/**
 * Opens the connection to systemd, by the protocol of sd_notify(3). The watchdog gets a sign of life from the serving
 * thread at half of its interval. Without one, systemd kills the process and starts it again.
 */
export async function openServiceManager(
  environment: Record<string, string | undefined>,
): Promise<ServiceManager> {
  const path = environment.NOTIFY_SOCKET
  if (!path || process.platform !== 'linux') return NONE
  const send = await openDatagram(path)
  const interval = watchdogMs(environment)
  let watchdog: ReturnType<typeof setInterval> | undefined
  return {
    ready(status) {
      send(`READY=1\nSTATUS=${status}\n`)
      if (interval !== undefined) watchdog = setInterval(() => send('WATCHDOG=1\n'), interval / 2)
    },
    stopping() {
      clearInterval(watchdog)
      send('STOPPING=1\nSTATUS=Waiting for requests in flight\n')
    },
  }
}

/** Returns the interval in which systemd expects to hear from this process, in milliseconds. */
function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: Record<string, string | undefined>): number | undefined {
  if (!WATCHDOG_USEC || (WATCHDOG_PID && Number(WATCHDOG_PID) !== process.pid)) return undefined
  return Number(WATCHDOG_USEC) / 1000
}

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
async function openDatagram(path: string): Promise<(text: string) => void> {
  const { symbols } = await openLibrary()
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

async function openLibrary() {
  const { dlopen } = await import('bun:ffi')
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
