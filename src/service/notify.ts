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
  const { openDatagram } = await import('./datagram.ts')
  const send = openDatagram(path)
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
