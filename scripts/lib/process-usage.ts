import { readFileSync } from 'node:fs'

/** Linux counts processor time for /proc in hundredths of a second. */
const ticksASecond = 100

/** The usage of a server: its process and its children together. */
export interface ProcessUsage {
  /** User and system time since its start. */
  cpuSeconds: number
  rssBytes: number
  /** Its peak (VmHWM). */
  peakRssBytes: number
}

/** Reads the usage of a process and its children from /proc. */
export function processUsage(pid: number): ProcessUsage {
  const sum = ownUsage(pid)
  for (const child of childrenOf(pid)) {
    const { cpuSeconds, rssBytes, peakRssBytes } = processUsage(child)
    sum.cpuSeconds += cpuSeconds
    sum.rssBytes += rssBytes
    sum.peakRssBytes += peakRssBytes
  }
  return sum
}

function ownUsage(pid: number): ProcessUsage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [utime = 0, stime = 0] = fields.slice(11, 13).map(Number)
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    cpuSeconds: (utime + stime) / ticksASecond,
    rssBytes: kilobytes(status, 'VmRSS') * 1024,
    peakRssBytes: kilobytes(status, 'VmHWM') * 1024,
  }
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children === '' ? [] : children.split(' ').map(Number)
}

function kilobytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
}
