import { readFileSync, writeFileSync } from 'node:fs'

const SETTING = '/proc/sys/net/ipv4/tcp_congestion_control'

/** The default of Linux. */
const DEFAULT = 'cubic'

/**
 * Sets TCP's congestion control to the default of Linux until this process exits. BBR, which some hosts use, paces what
 * it sends with timers, and loopback then carries half as much. Returns what to print about it.
 */
export function setCongestionControl(): string {
  const own = readFileSync(SETTING, 'utf8').trim()
  if (own === DEFAULT) return own
  try {
    writeFileSync(SETTING, DEFAULT)
  } catch {
    return `${own}, not ${DEFAULT}, which only root can set`
  }
  process.on('exit', () => writeFileSync(SETTING, own))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  return `${DEFAULT} until the end, then ${own} again`
}
